"""What anybody outside knew, and since when."""

from bisect import bisect_right
from collections import defaultdict

from proof.torture.history import History


class Known:
    """The furthest number of a chat that anybody knew of, at any time."""

    def __init__(self) -> None:
        self._times: dict[int, list[int]] = defaultdict(list)
        self._numbers: dict[int, list[int]] = defaultdict(list)

    def learn(self, at: int, chat: int, seq: int) -> None:
        numbers = self._numbers[chat]
        if not numbers or seq > numbers[-1]:
            self._times[chat].append(at)
            numbers.append(seq)

    def upto(self, chat: int, at: int) -> int:
        place = bisect_right(self._times.get(chat, []), at)
        return self._numbers[chat][place - 1] if place else 0


def known_numbers(history: History) -> Known:
    facts = [(at, ack.chat, ack.seq) for at, ack in history.acks]
    facts += [(at, said.chat, said.seq) for at, _, said in history.said()]
    facts += [(at, page.chat, page.rows[-1][0]) for at, page in history.pages if page.rows]
    facts.sort()
    known = Known()
    for at, chat, seq in facts:
        known.learn(at, chat, seq)
    return known


def first_known(history: History) -> dict[tuple[int, int], int]:
    """When each message was first seen by anybody."""
    found: dict[tuple[int, int], int] = {}
    for at, ack in history.acks:
        found.setdefault((ack.chat, ack.seq), at)
    for at, _, said in history.said():
        place = said.chat, said.seq
        found[place] = min(found.get(place, at), at)
    for at, stored in history.stored:
        for key in stored.keys:
            for row in history.by_key.get((stored.sender, stored.chat, key), ()):
                place = row.chat, row.seq
                found[place] = min(found.get(place, at), at)
    return found
