"""The clauses of the delivery contract, each as a pure function over a record: what it finds is what breaks it."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.torture.history import History, Interval, Listening
from bench.torture.journal import Gap, Said, Send, Told

MOST_IN_A_CHAT = 5_000  # beyond that a listener may be told `limited`
MOST_IN_ALL = 10_000  # and beyond that `resync`

Checker = Callable[[History], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Clause:
    name: str
    sentence: str
    check: Checker


@dataclass(frozen=True, slots=True)
class Verdict:
    clause: Clause
    findings: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.findings


def judge(history: History) -> list[Verdict]:
    return [Verdict(clause, tuple(clause.check(history))) for clause in CLAUSES]


# --- D1 … D5: what is stored


def lost(history: History) -> Iterator[str]:
    for _, ack in history.acks:
        _, sent = history.sends[ack.ref]
        row = history.rows.get((ack.chat, ack.seq))
        if row is None:
            yield f"{sent.key} was acknowledged as {ack.chat}/{ack.seq} and is not there"
        elif (row.position, row.sender, row.key) != (ack.position, sent.sender, sent.key):
            yield f"{sent.key} was acknowledged as {ack.chat}/{ack.seq}, and there stands {row.key}"
        elif not row.changed and row.digest != sent.digest:
            yield f"{sent.key} was acknowledged as {ack.chat}/{ack.seq} with other words than are stored"


def phantoms(history: History) -> Iterator[str]:
    """Also: nothing is there that nobody sent."""
    may_be_there = {(sent.sender, sent.chat, sent.key, sent.digest): ref for ref, (_, sent) in history.sends.items()}
    refused = {one.ref for _, one in history.refusals if 400 <= one.status < 500}
    tried = Counter(identity(sent) for _, sent in history.sends.values())
    said_no = Counter(identity(history.sends[ref][1]) for ref in refused if ref in history.sends)
    digests = {(row.chat, row.sender, row.digest): row for row in history.ledger.messages if not row.changed}
    for name, times in said_no.items():
        sender, chat, key, words = name
        row = digests.get((chat, sender, words))
        if row is not None and row.key == key and tried[name] == times:
            yield f"{key} was refused and is stored as {chat}/{row.seq}"
    keys = {name[:3] for name in may_be_there}
    for row in history.ledger.messages:
        if (row.sender, row.chat, row.key) not in keys:
            yield f"{row.chat}/{row.seq} is stored under {row.key}, which nobody sent"


def identity(sent: Send) -> tuple[int, int, str, str]:
    return sent.sender, sent.chat, sent.key, sent.digest


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

    for line in history.lines.values():
        for _, said in line.heard:
            if isinstance(said, Said):
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
        at = first_written.get((row.sender, row.chat, row.key))
        if at is not None:
            begins.append((at, row.chat, row.seq, row.key))
    begins.sort()
    known = known_numbers(history)
    for at, chat, seq, key in begins:
        before = known.upto(chat, at)
        if seq <= before:
            yield f"{key} was first written when {chat}/{before} was known, and is stored as {chat}/{seq}"


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
    facts += [
        (at, said.chat, said.seq)
        for line in history.lines.values()
        for at, said in line.heard
        if isinstance(said, Said)
    ]
    facts += [(at, page.chat, page.rows[-1][0]) for at, page in history.pages if page.rows]
    facts.sort()
    known = Known()
    for at, chat, seq in facts:
        known.learn(at, chat, seq)
    return known


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


def doubles(history: History) -> Iterator[str]:
    """One row for a key, one answer for a key, `replayed` for what was there, 409 for other words and only for them."""
    for (sender, chat, key), rows in history.by_key.items():
        if len(rows) > 1:
            yield f"{key} of {sender} is stored {len(rows)} times in {chat}: {[one.seq for one in rows]}"
    first_words: dict[tuple[int, int, str], str] = {}
    for _, sent in history.sends.values():
        if not sent.flaw:
            first_words.setdefault((sent.sender, sent.chat, sent.key), sent.digest)
    known = first_known(history)
    as_new: dict[tuple[int, int, str], int] = {}
    for at, ack in history.acks:
        written, sent = history.sends[ack.ref]
        name = sent.sender, sent.chat, sent.key
        if sent.digest != first_words.get(name, sent.digest):
            yield f"other words under {sent.key} were acknowledged as {ack.chat}/{ack.seq}"
        if ack.replayed:
            continue
        if name in as_new:
            yield f"{sent.key} was acknowledged as new twice (lines {as_new[name]} and {at})"
        as_new[name] = at
        if known.get((ack.chat, ack.seq), written) < written:
            yield f"{sent.key} was there before it was sent again, and the answer does not say `replayed`"
    for _, refusal in history.refusals:
        sent_at = history.sends.get(refusal.ref)
        if sent_at is not None and refusal.code == "idempotency-conflict":
            sent = sent_at[1]
            if first_words.get((sent.sender, sent.chat, sent.key)) == sent.digest:
                yield f"{sent.key} was refused as a conflict with its own words"


def first_known(history: History) -> dict[tuple[int, int], int]:
    """When each message was first seen by anybody."""
    found: dict[tuple[int, int], int] = {}
    for at, ack in history.acks:
        found.setdefault((ack.chat, ack.seq), at)
    for line in history.lines.values():
        for at, said in line.heard:
            if isinstance(said, Said):
                place = said.chat, said.seq
                found[place] = min(found.get(place, at), at)
    for at, stored in history.stored:
        for key in stored.keys:
            for row in history.by_key.get((stored.sender, stored.chat, key), ()):
                place = row.chat, row.seq
                found[place] = min(found.get(place, at), at)
    return found


# --- D6, D7: what is heard


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
        intervals = history.intervals.get(lines[0].opened.user, [])
        known = [(one, *due(history, lines[0].opened.user, one, -1)) for one in intervals]
        missed_in_all = sorted(place for _, expected, _ in known for place in expected)
        for line in lines:
            last = line.opened.cursor
            passed: list[Gap] = []
            heard = {one.position for _, one in line.heard if not isinstance(one, Gap)}
            for _, one in line.heard:
                if isinstance(one, Gap):
                    passed.append(one)
                    yield from untrue(history, name, one, last, missed_in_all)
                    last = one.position if one.kind == "resync" else last
                    continue
                last = max(last, one.position)
            yield from left_out(history, name, line, heard, passed, known)


def untrue(history: History, name: str, gap: Gap, last: int, mine: list[int]) -> Iterator[str]:
    if gap.kind == "limited" and gap.last - gap.first + 1 <= MOST_IN_A_CHAT:
        yield f"{name} was told `limited` for {gap.last - gap.first + 1} messages of chat {gap.chat}"
    if gap.kind == "resync":
        missed = bisect_right(mine, gap.position) - bisect_right(mine, last)
        if missed <= MOST_IN_ALL:
            yield f"{name} was told `resync` at {last} although it had missed only {missed} events"


def left_out(
    history: History,
    name: str,
    line: Listening,
    heard: set[int],
    passed: list[Gap],
    known: list[tuple[Interval, set[int], set[int]]],
) -> Iterator[str]:
    if not heard:
        return
    first = line.opened.cursor
    anew = max((gap.position for gap in passed if gap.kind == "resync"), default=first)
    for interval, expected, _ in known:
        if interval.removed is not None and interval.removed not in heard:
            end = max((place for place in heard if place in expected), default=0)
        elif interval.removed is not None:
            end = max((place for place in heard if place in expected and place != interval.removed), default=0)
        else:
            end = max(heard)
        limits = [(gap.first, gap.last) for gap in passed if gap.kind == "limited" and gap.chat == interval.chat]
        missing = [place for place in expected if anew < place < end and place not in heard]
        if limits and missing:
            numbers = {row.position: row.seq for row in history.between(interval.chat, 0, history.ledger.head)}
            missing = [
                place for place in missing
                if not any(low <= numbers.get(place, 0) <= high for low, high in limits)
            ]  # fmt: skip
        if missing:
            yield (
                f"{name} was silently told nothing of {len(missing)} events of chat {interval.chat} on line "
                f"{line.opened.line} ({line.opened.way}): {sorted(missing)[:5]}"
            )


# --- D8 … D11: markers, sessions, members, reads


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
        yield from rewound_for(line)
    final = {(one.user, one.chat): one.read_seq for one in history.ledger.members}
    for name, seq in furthest.items():
        if name in final and final[name] < seq:
            yield f"the marker of {name[0]} in {name[1]} was acknowledged at {seq} and ended at {final[name]}"
    for (user, chat), seq in final.items():
        if seq > len(history.in_chat.get(chat, ())):
            yield f"the marker of {user} in {chat} stands at {seq}, beyond the last message"


def rewound_for(line: Listening) -> Iterator[str]:
    upto: dict[tuple[int, int], int] = defaultdict(int)
    for _, told in line.heard:
        if isinstance(told, Told):
            for user, first, last in told.reads:
                if first <= upto[user, told.chat] or last < first:
                    yield f"line {told.line} saw the marker of {user} in {told.chat} go from {upto[user, told.chat]} to {first}"
                upto[user, told.chat] = max(upto[user, told.chat], last)


def outlived(history: History) -> Iterator[str]:
    """After the answer to its end nothing of a session is accepted, and nothing is delivered to it."""
    ends = {ended.session: at for at, ended in history.ended}
    revoked = {one.subject: one.position for one in history.ledger.entries if one.kind == "session_revoked"}
    acked = {ack.ref for _, ack in history.acks}
    for ref, (at, sent) in history.sends.items():
        end = ends.get(sent.session)
        if end is not None and at > end and ref in acked:
            yield f"{sent.key} was accepted from session {sent.session}, which had ended"
    stored_after = {
        (sent.sender, sent.chat, sent.key): sent
        for at, sent in history.sends.values()
        if at > ends.get(sent.session, at)
    }
    before = {
        (sent.sender, sent.chat, sent.key) for at, sent in history.sends.values() if at <= ends.get(sent.session, at)
    }
    for name in stored_after.keys() - before:
        if name in history.by_key:
            yield f"{name[2]} is stored, and was sent by a session that had ended"
    for line in history.lines.values():
        end = revoked.get(session_of(history, line))
        if end is None:
            continue
        for _, one in line.heard:
            if one.position > end:
                yield f"line {line.opened.line} heard {one.position} although its session ended at {end}"
        if line.shut is None and session_of(history, line) in ends:
            yield f"line {line.opened.line} stayed open although its session had ended"
    for at, asked in history.asked:
        if asked.session in ends and asked.since > ends[asked.session] and asked.status not in {401, 0, 503}:
            yield f"{asked.what} of session {asked.session} was answered with {asked.status} after its end (line {at})"


def session_of(history: History, line: Listening) -> int:
    return history.sessions_of_lines.get(line.opened.line, line.opened.session)


def leaked(history: History) -> Iterator[str]:
    """After a removal nothing of the chat reaches the removed, by any way, and nothing of theirs is stored."""
    for line in history.lines.values():
        user = line.opened.user
        closed = [one for one in history.intervals.get(user, ()) if one.removed is not None]
        for chat in {one.chat for one in closed}:
            inside = [one for one in history.intervals[user] if one.chat == chat]
            for _, heard in line.heard:
                if isinstance(heard, Gap) or heard.chat != chat:
                    continue
                if not any(one.joined <= heard.position <= (one.removed or heard.position) for one in inside):
                    yield f"{line.opened.listener or user} heard {heard.position} of {chat}, where it was no member"
    asked = [(one.since, one.chat, one.user) for _, one in history.memberships if one.joins]
    done = [(at, one.chat, one.user) for at, one in history.memberships if not one.joins and one.status in {204, 404}]
    for at, page in history.pages:
        gone = [one.removed for one in history.intervals.get(page.user, ()) if one.chat == page.chat and one.removed]
        if not gone or page.status != 200:
            continue
        # How often it had been asked to come in before this answer: no later membership can explain the page.
        joins = sum(1 for since, chat, user in asked if since < at and (chat, user) == (page.chat, page.user))
        out = [one for one in history.intervals[page.user] if one.chat == page.chat][:joins]
        limit = out[-1].removed if out else 0
        if limit is not None and page.rows and page.rows[-1][1] > limit:
            yield f"a page showed {page.rows[-1][1]} of {page.chat} to {page.user}, removed at {limit}"
        removed_at = max((when for when, chat, user in done if (chat, user) == (page.chat, page.user) and when < page.since),
                         default=-1)  # fmt: skip
        rejoined = any(
            since > removed_at and since < at for since, chat, user in asked if (chat, user) == (page.chat, page.user)
        )
        if removed_at >= 0 and not rejoined:
            yield f"a page of {page.chat} was shown to {page.user} after the answer to its removal"
    for user, intervals in history.intervals.items():
        for one, following in zip(intervals, [*intervals[1:], None], strict=True):
            if one.removed is None:
                continue
            upto = following.joined if following is not None else history.ledger.head
            for row in history.between(one.chat, one.removed, upto):
                if row.sender == user:
                    yield f"{row.chat}/{row.seq} is by {user}, who was no member then"


def stale(history: History) -> Iterator[str]:
    """A page shows everything that was acknowledged or seen before it was asked for, whatever process it came from."""
    known = known_numbers(history)
    for at, page in history.pages:
        if page.status != 200:
            continue
        last = page.rows[-1][0] if page.rows else page.first - 1
        must = min(known.upto(page.chat, page.since - 1), page.first + page.limit - 1)
        if last < must:
            yield f"a page of {page.chat} ends at {last} although {must} was known when it was asked for (line {at})"


# --- and what must not happen at all


def unexplained(history: History) -> Iterator[str]:
    """Whoever may be answered is answered: nothing but 503 says `try again`, and nobody is refused without a reason."""
    for _, refusal in history.refusals:
        sent = history.sends.get(refusal.ref)
        if refusal.status >= 500:
            yield f"a send was answered with {refusal.status} {refusal.code}"
        elif sent is not None and not sent[1].flaw:
            yield f"{sent[1].key} was refused without a reason: {refusal.status} {refusal.code}"
        elif sent is None and refusal.ref in history.marks:
            yield f"a mark was refused: {refusal.status} {refusal.code}"
    for _, ack in history.acks:
        sent_at = history.sends[ack.ref]
        if sent_at[1].flaw in {"stranger", "too long", "empty", "conflict"}:
            yield f"{sent_at[1].key} was accepted although it was {sent_at[1].flaw}"
    for _, asked in history.asked:
        if asked.status >= 500 and asked.status != 503:
            yield f"{asked.what} was answered with {asked.status} {asked.code}"
        if asked.what == "stop" and asked.code != "exit 0":
            yield f"a server that was asked to stop left with {asked.code}"
    for _, page in history.pages:
        if page.status >= 500 and page.status != 503:
            yield f"a page was answered with {page.status}"
    for line in history.lines.values():
        if line.shut is not None and line.shut[1].why in {"1002", "1003", "1007", "1009", "1011", "4503", "500"}:
            yield f"line {line.opened.line} was closed with {line.shut[1].why}"


CLAUSES = (
    Clause("D1", "What was acknowledged is there, as it was sent.", lost),
    Clause("D2", "What was refused is not stored, nor what nobody sent.", phantoms),
    Clause("D3", "One order without a hole, the same for everybody, and nothing in it comes late.", holes),
    Clause("D4", "Order follows cause: what was written or known first is first.", disorder),
    Clause("D5", "A key is one message, however often it is sent, and a repeat is told so.", doubles),
    Clause("D6", "Who keeps a cursor hears the log of his chats: all of it, once, in order.", undelivered),
    Clause("D7", "What is left out is named; nothing is skipped in silence.", silent_gaps),
    Clause("D8", "Read markers never go back.", rewound),
    Clause("D9", "A session that ended sends nothing and hears nothing.", outlived),
    Clause("D10", "Who was removed hears, reads and says nothing more.", leaked),
    Clause("D11", "What was acknowledged or seen is in the next page, from every process.", stale),
    Clause("answers", "No 5xx but 503, and no refusal without a reason.", unexplained),
)
