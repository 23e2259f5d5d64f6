"""D9: sessions, which end at the answer that says so."""

from collections.abc import Iterator

from proof.torture.history import History, Listening


def outlived(history: History) -> Iterator[str]:
    """After the answer to its end nothing of a session is accepted, and nothing is delivered to it."""
    ends = {ended.session: at for at, ended in history.ended}
    yield from accepted(history, ends)
    revoked = {one.subject: one.position for one in history.ledger.entries if one.kind == "session_revoked"}
    for line in history.lines.values():
        session = session_of(history, line)
        if session in ends and line.shut is None:
            yield f"line {line.opened.line} stayed open although its session {session} had ended"
        for _, one in line.heard if session in revoked else ():
            if one.position > revoked[session]:
                yield f"line {line.opened.line} heard {one.position}, its session ended at {revoked[session]}"
    for at, asked in history.asked:
        is_later = asked.session in ends and asked.since > ends[asked.session]
        if is_later and asked.status not in {401, 503}:
            yield f"{asked.what} of session {asked.session} was answered with {asked.status} after its end (line {at})"


def accepted(history: History, ends: dict[int, int]) -> Iterator[str]:
    before: set[tuple[int, int, str]] = set()
    after: set[tuple[int, int, str]] = set()
    for at, sent in history.sends.values():
        name = sent.sender, sent.chat, sent.key
        (after if at > ends.get(sent.session, at) else before).add(name)
    acked = {ack.ref for _, ack in history.acks}
    for ref, (at, sent) in history.sends.items():
        if ref in acked and at > ends.get(sent.session, at):
            yield f"{sent.key} was acknowledged to session {sent.session}, which had ended"
    for name in sorted(after - before):
        if name in history.by_key:
            yield f"{name[2]} is stored, and was sent by a session that had ended"


def session_of(history: History, line: Listening) -> int:
    return history.sessions_of_lines.get(line.opened.line, line.opened.session)
