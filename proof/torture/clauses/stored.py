"""D1, D2 and D5: what became of a send, as its sender was told and as the database holds it."""

from collections import Counter
from collections.abc import Iterator

from proof.torture.clauses.known import first_known
from proof.torture.history import History
from proof.torture.journal import Send


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
