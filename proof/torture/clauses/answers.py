"""D11, and what may be answered at all."""

from collections.abc import Iterator

from proof.torture.clauses.known import known_numbers
from proof.torture.history import History

MISTAKES = {"1002", "1003", "1007", "1009", "1011", "4503"}  # closings that blame one side for bytes it did not send
REFUSABLE = {"stranger", "too long", "empty", "conflict"}


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


def unexplained(history: History) -> Iterator[str]:
    """Every permitted request is answered: nothing but 503 says `try again`, and nobody is refused without a reason."""
    yield from refused(history)
    for at, status, what in statuses(history):
        if status >= 500 and status != 503:
            yield f"{what} was answered with {status} (line {at})"
    for _, asked in history.asked:
        if asked.what == "stop" and asked.code != "exit 0":
            yield f"a server that was asked to stop left with {asked.code}"
    for line in history.lines.values():
        if line.shut is not None and line.shut[1].why in MISTAKES:
            yield f"line {line.opened.line} was closed with {line.shut[1].why}"


def refused(history: History) -> Iterator[str]:
    for _, refusal in history.refusals:
        sent = history.sends.get(refusal.ref)
        if refusal.status < 500 and sent is not None and not sent[1].flaw:
            yield f"{sent[1].key} was refused without a reason: {refusal.status} {refusal.code}"
        elif refusal.ref in history.marks:
            yield f"a mark was refused: {refusal.status} {refusal.code}"
    for _, ack in history.acks:
        _, sent_then = history.sends[ack.ref]
        if sent_then.flaw in REFUSABLE:
            yield f"{sent_then.key} was accepted although it was {sent_then.flaw}"


def statuses(history: History) -> Iterator[tuple[int, int, str]]:
    for at, refusal in history.refusals:
        yield at, refusal.status, "a send"
    for at, asked in history.asked:
        yield at, asked.status, asked.what
    for at, page in history.pages:
        yield at, page.status, "a page"
