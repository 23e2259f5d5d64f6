"""D6 and D7: what those who keep a cursor have heard, and what they were told that they would not hear."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from proof.torture.history import History, Interval, Listening
from proof.torture.journal import Gap

MOST_IN_A_CHAT = 5_000  # beyond that a listener may be told `limited`
MOST_IN_ALL = 10_000  # and beyond that `resync`


def undelivered(history: History) -> Iterator[str]:
    """Everybody who keeps a cursor has applied exactly the log of the chats he was in, once and in order."""
    for name, lines in history.listeners.items():
        yield from unordered(name, lines)
        heard = {one.position for line in lines for _, one in line.heard if not isinstance(one, Gap)}
        excused = Excuses(history, lines)
        user, start = lines[0].opened.user, lines[0].opened.cursor
        mine: set[int] = set()
        for interval in history.intervals.get(user, []):
            expected, optional = due(history, user, interval, start)
            mine |= expected | optional
            if interval.removed is None or interval.removed <= start:
                missing = expected - heard
            else:
                # Who comes back after a removal is told of it alone: what was heard is a beginning.
                got = (expected & heard) - {interval.removed}
                missing = {place for place in expected if place < max(got, default=0)} - heard
                if interval.removed not in heard and not excused(interval.chat, interval.removed):
                    yield f"{name} never heard that it was removed at {interval.removed}"
            missing = {place for place in missing if not excused(interval.chat, place)}
            if missing:
                yield f"{name} missed {len(missing)} events of chat {interval.chat}: {sorted(missing)[:5]}"
        mine |= {one.position for one in history.ledger.entries if one.user == user}
        if strange := heard - mine:
            yield f"{name} heard what is not its own: {sorted(strange)[:5]}"


def unordered(name: str, lines: list[Listening]) -> Iterator[str]:
    """The rule for applying events would drop a repeat; over a cursor that is kept there must be none."""
    last = lines[0].opened.cursor
    for line in lines:
        for _, one in line.heard:
            if isinstance(one, Gap):
                last = max(last, one.position) if one.kind == "resync" else last
            elif one.position <= last:
                yield f"{name} heard {one.position} after {last} ({line.opened.way}, line {line.opened.line})"
            else:
                last = one.position


def due(history: History, user: int, interval: Interval, start: int) -> tuple[set[int], set[int]]:
    """The positions that have to be heard, and those that may be: an arrival whose person is gone again is silent."""
    end = interval.removed if interval.removed is not None else history.ledger.head
    expected = {one.position for one in history.between(interval.chat, max(start, interval.joined), end)}
    optional: set[int] = set()
    gone = {(one.chat, one.user) for one in history.ledger.entries if one.kind == "member_removed"}
    for one in history.entries_of.get(interval.chat, ()):
        if max(start, interval.joined - 1) < one.position <= end and (one.to is None or user in one.to):
            is_silent = one.kind == "member_added" and (one.chat, one.user) in gone
            (optional if is_silent else expected).add(one.position)
    return expected, optional


class Excuses:
    """What a listener was told, by name, that it would not hear."""

    def __init__(self, history: History, lines: list[Listening]) -> None:
        self._anew: list[tuple[int, int]] = []  # after and up to which position
        self._pages: list[tuple[int, int, int]] = []  # chat, and from where to where
        last = lines[0].opened.cursor
        for line in lines:
            for _, one in line.heard:
                if isinstance(one, Gap) and one.kind == "resync":
                    self._anew.append((last, one.position))
                elif isinstance(one, Gap):
                    first, until = (history.rows.get((one.chat, seq)) for seq in (one.first, one.last))
                    if first is not None and until is not None:
                        self._pages.append((one.chat, first.position, until.position))
                last = max(last, one.position)
        self._read = {
            seq_row[1] for _, page in history.pages if page.user == lines[0].opened.user for seq_row in page.rows
        }

    def __call__(self, chat: int, position: int) -> bool:
        if any(after < position <= upto for after, upto in self._anew):
            return True
        # `limited` is an excuse only for what was then read as a page.
        named = any(chat == named and first <= position <= last for named, first, last in self._pages)
        return named and position in self._read


def silent_gaps(history: History) -> Iterator[str]:
    """A connection leaves nothing out between two events without saying so, and says so only when it is true."""
    for name, lines in history.listeners.items():
        user = lines[0].opened.user
        known = [(one, sorted(due(history, user, one, -1)[0])) for one in history.intervals.get(user, [])]
        mine = sorted(place for _, expected in known for place in expected)
        for line in lines:
            yield from untrue(name, line, mine)
            for interval, expected in known:
                yield from left_out(history, name, line, interval, expected)


def untrue(name: str, line: Listening, mine: list[int]) -> Iterator[str]:
    """`limited` and `resync` are for those who have missed too much."""
    last = line.opened.cursor
    for _, one in line.heard:
        if not isinstance(one, Gap):
            last = max(last, one.position)
        elif one.kind == "limited" and one.last - one.first + 1 <= MOST_IN_A_CHAT:
            yield f"{name} was told `limited` for {one.last - one.first + 1} messages of chat {one.chat}"
        elif one.kind == "resync":
            missed = bisect_right(mine, one.position) - bisect_right(mine, last)
            if missed <= MOST_IN_ALL:
                yield f"{name} was told `resync` at {last} although it had missed only {missed} events"
            last = one.position


def left_out(history: History, name: str, line: Listening, interval: Interval, expected: list[int]) -> Iterator[str]:
    heard = {one.position for _, one in line.heard if not isinstance(one, Gap)}
    gaps = [one for _, one in line.heard if isinstance(one, Gap)]
    begin = max((gap.position for gap in gaps if gap.kind == "resync"), default=line.opened.cursor)
    # Of a membership that is over a replay may tell the end alone: what counts is the last event before it.
    inside = heard if interval.removed is None else heard.intersection(expected) - {interval.removed}
    end = max(inside, default=0)
    between = expected[bisect_right(expected, begin) : bisect_left(expected, end)]
    missing = [place for place in between if place not in heard]
    limits = [gap for gap in gaps if gap.kind == "limited" and gap.chat == interval.chat]
    if limits and missing:
        numbers = {row.position: row.seq for row in history.between(interval.chat, missing[0] - 1, missing[-1])}
        missing = [
            place for place in missing if not any(gap.first <= numbers.get(place, 0) <= gap.last for gap in limits)
        ]
    if missing:
        yield (
            f"{name} was told nothing of {len(missing)} events of chat {interval.chat} on line {line.opened.line} "
            f"({line.opened.way}), and not that it was not: {missing[:5]}"
        )
