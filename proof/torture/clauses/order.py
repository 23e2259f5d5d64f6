"""D3 and D4: one order without a hole, the same for everybody, in which causes come before their effects."""

from collections import Counter
from collections.abc import Iterator

from proof.torture.clauses.known import known_numbers
from proof.torture.history import History, Listening
from proof.torture.journal import Gap


def holes(history: History) -> Iterator[str]:
    """Numbers and positions without a hole, one value under one number for everybody, nothing that comes late."""
    for chat, messages in history.in_chat.items():
        numbers = [one.seq for one in messages]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"the numbers of chat {chat} are not 1 … {len(numbers)}: {odd_ones(numbers)}"
        for one, other in zip(messages, messages[1:], strict=False):
            if one.position >= other.position:
                yield f"{chat}/{other.seq} has the position {other.position}, not above that of {one.seq}"
    places = sorted(
        [one.position for one in history.ledger.messages] + [one.position for one in history.ledger.entries]
    )
    if places != list(range(1, history.ledger.head + 1)):
        yield f"the positions of the log are not 1 … {history.ledger.head}: {odd_ones(places)}"
    yield from diverging(history)
    yield from late(history)


def odd_ones(numbers: list[int]) -> str:
    twice = [number for number, times in Counter(numbers).items() if times > 1]
    missing = sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))
    return f"missing {missing[:5]}, twice {twice[:5]}"


def diverging(history: History) -> Iterator[str]:
    def differs(who: str, chat: int, seq: int, value: tuple[int, int, str, bool]) -> Iterator[str]:
        row = history.rows.get((chat, seq))
        position, sender, words, changed = value
        if row is None or (row.position, row.sender) != (position, sender):
            yield f"{who} saw {position} by {sender} as {chat}/{seq}, which is another or none"
        elif not changed and not row.changed and words != row.digest:
            yield f"{who} saw other words in {chat}/{seq} than are stored"

    for _, line, said in history.said():
        value = said.position, said.sender, said.digest, said.changed
        yield from differs(line.opened.listener or f"line {said.line}", said.chat, said.seq, value)
    for _, page in history.pages:
        for seq, *rest in page.rows:
            yield from differs(page.reader or f"a page for {page.user}", page.chat, seq, tuple(rest))  # type: ignore[arg-type]


def late(history: History) -> Iterator[str]:
    """A reader that goes through a chat page by page finds each number right after the one before."""
    expected: dict[tuple[str, int], int] = {}
    for _, page in history.pages:
        if page.reader:
            for seq, *_ in page.rows:
                want = expected.get((page.reader, page.chat), 1)
                if seq != want:
                    yield f"{page.reader} found {page.chat}/{seq} where {want} had to come: it was filled in late"
                expected[page.reader, page.chat] = seq + 1


def disorder(history: History) -> Iterator[str]:
    """What was written first on a socket is first; what was known before a send is before it; acks keep in step."""
    new = {ack.ref: ack for _, ack in history.acks if not ack.replayed}
    last: dict[tuple[int, int], tuple[int, str]] = {}
    for ref, (_, sent) in history.sends.items():  # as written
        if sent.line and ref in new:
            seq = new[ref].seq
            before, key = last.get((sent.line, sent.chat), (0, ""))
            if seq < before:
                yield f"{sent.key} was written after {key} on line {sent.line} and is stored before it in {sent.chat}"
            last[sent.line, sent.chat] = max((before, key), (seq, sent.key))
    yield from effects_before_causes(history)
    for line in history.lines.values():
        yield from out_of_step(line)


def effects_before_causes(history: History) -> Iterator[str]:
    """In the order of time: the furthest number that anybody knew of in a chat, and who only then began to send."""
    first_written: dict[tuple[int, int, str], int] = {}
    for at, sent in history.sends.values():
        first_written.setdefault((sent.sender, sent.chat, sent.key), at)
    begins: list[tuple[int, int, int, str]] = []
    for row in history.ledger.messages:
        name = row.sender, row.chat, row.key
        if name in first_written:
            begins.append((first_written[name], row.chat, row.seq, row.key))
    begins.sort()
    known = known_numbers(history)
    for at, chat, seq, key in begins:
        before = known.upto(chat, at)
        if seq <= before:
            yield f"{key} was first written when {chat}/{before} was known, and is stored as {chat}/{seq}"


def out_of_step(line: Listening) -> Iterator[str]:
    """An ack never comes after an event with a higher position, and its message not as an event as well."""
    furthest, at_event = 0, 0
    heard = [(at, one.position, None) for at, one in line.heard if not isinstance(one, Gap)]
    acked = [(at, ack.position, ack) for at, ack in line.acked]
    own = {ack.position for _, ack in line.acked if not ack.replayed}
    for at, position, ack in sorted(heard + acked, key=lambda one: one[0]):  # type: ignore[operator]
        if ack is None:
            if position in own:
                yield f"line {line.opened.line} heard {position} as an event and had it as an ack"
            if not line.opened.listener and position <= furthest:
                yield f"line {line.opened.line} heard {position} after {furthest}"
            furthest, at_event = max(furthest, position), at
        elif not ack.replayed and position < furthest:
            yield f"line {line.opened.line} got its ack of {position} after the event {furthest} (line {at_event})"
