"""D8: read markers, which know one direction."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator

from proof.torture.history import History, Listening
from proof.torture.journal import Told


def rewound(history: History) -> Iterator[str]:
    """Markers never go back, on no device and for no observer, and end at the furthest that was acknowledged."""
    answered: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)  # when, and the furthest until then
    furthest: dict[tuple[int, int], int] = defaultdict(int)
    for at, marked in history.marked:
        begun, mark = history.marks[marked.ref]
        name = mark.user, mark.chat
        if marked.read_seq < mark.seq:
            yield f"a mark of {mark.user} at {mark.chat}/{mark.seq} was answered with {marked.read_seq}"
        place = bisect_right(answered[name], (begun, 0)) - 1
        if place >= 0 and marked.read_seq < answered[name][place][1]:
            yield f"the marker of {mark.user} in {mark.chat} went from {answered[name][place][1]} to {marked.read_seq}"
        furthest[name] = max(furthest[name], marked.read_seq)
        answered[name].append((at, furthest[name]))
    for line in history.lines.values():
        yield from seen_rewound(line)
    final = {(one.user, one.chat): one.read_seq for one in history.ledger.members}
    for name, seq in furthest.items():
        if name in final and final[name] < seq:
            yield f"the marker of {name[0]} in {name[1]} was acknowledged at {seq} and ended at {final[name]}"
    for (user, chat), seq in final.items():
        if seq > len(history.in_chat.get(chat, ())):
            yield f"the marker of {user} in {chat} stands at {seq}, beyond the last message"


def seen_rewound(line: Listening) -> Iterator[str]:
    upto: dict[tuple[int, int], int] = defaultdict(int)
    for _, told in line.heard:
        for user, first, last in told.reads if isinstance(told, Told) else ():
            before = upto[user, told.chat]
            if first <= before or last < first:
                yield f"line {told.line} saw the marker of {user} in {told.chat} at {before} go to {first} … {last}"
            upto[user, told.chat] = max(before, last)
