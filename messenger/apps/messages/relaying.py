"""What drafts and read marks look like on their way to the process that writes for all, and what its verdicts do."""

from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

from aiohttp import web
from msgspec import Struct

from messenger.apps.messages.schemas import Outgoing
from messenger.apps.messages.sending import REFUSALS, SENDER, Draft, Mark, Sender, Sent, Verdict
from messenger.errors import MessengerError
from messenger.log.entries import Entry
from messenger.log.relay import Relay
from messenger.web.app_keys import CONFIG, DATABASE, LOG


class PackedDraft(Struct, array_like=True, tag=0, gc=False):
    chat_id: int
    sender_id: int
    session_id: int | None
    key: str
    copy_id: int | None
    text: str
    client_id: str | None
    operation_id: int | None
    reply_to: int | None


class PackedMark(Struct, array_like=True, tag=1, gc=False):
    chat_id: int
    reader_id: int
    session_id: int | None
    message_id: int


class PackedSent(Struct, array_like=True, gc=False):
    message_id: str
    words: bytes
    replayed: bool


Packed: TypeAlias = PackedDraft | PackedMark
PackedVerdict: TypeAlias = PackedSent | int | str  # what was sent, how far is read, or the code of a refusal


class DraftCourier:
    packed = Packed
    verdict = PackedVerdict

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def pack(self, draft: Draft | Mark) -> Packed:
        if isinstance(draft, Mark):
            return PackedMark(draft.chat_id, draft.reader_id, draft.session_id, draft.message_id)
        content = draft.content
        return PackedDraft(
            draft.chat_id,
            draft.sender_id,
            draft.session_id,
            draft.key,
            draft.copy_id,
            content.text,
            content.client_id,
            content.operation_id,
            content.reply_to,
        )

    def unpack(self, packed: Packed, answer: Callable[[Verdict], None]) -> Draft | Mark:
        if isinstance(packed, PackedMark):
            return Mark(
                chat_id=packed.chat_id,
                reader_id=packed.reader_id,
                session_id=packed.session_id,
                message_id=packed.message_id,
                answer=answer,
            )
        return Draft(
            chat_id=packed.chat_id,
            sender_id=packed.sender_id,
            session_id=packed.session_id,
            content=Outgoing(packed.text, packed.client_id, packed.operation_id, packed.reply_to),
            answer=answer,
            key=packed.key,
            copy_id=packed.copy_id,
        )

    def pack_verdict(self, verdict: Verdict) -> PackedVerdict | None:
        """Other errors than refusals are about this process."""
        if isinstance(verdict, Sent):
            return PackedSent(verdict.message_id, verdict.words, verdict.replayed)
        if isinstance(verdict, MessengerError):
            return verdict.code if verdict.code in REFUSALS else None
        return verdict

    def settle(self, draft: Draft | Mark, verdict: PackedVerdict) -> None:
        if isinstance(verdict, PackedSent):
            assert isinstance(draft, Draft)
            sent = Sent(verdict.message_id, verdict.words, draft.content.client_id, verdict.replayed)
            self._sender.relayed(draft, sent)
        else:
            self._sender.relayed(draft, REFUSALS[verdict]() if isinstance(verdict, str) else verdict)

    def awaits(self, entry: Entry) -> bool:
        return self._sender.awaits(entry)


RELAY: web.AppKey[Relay[Draft | Mark]] = web.AppKey("relay", Relay)  # absent: this process works alone


async def context(root: web.Application) -> AsyncIterator[None]:
    config, sender = root[CONFIG], root[SENDER]
    if config.server.workers_num == 1:
        yield
        return
    dsn = str(config.database.direct_url) or root[DATABASE].dsn
    relay = root[RELAY] = Relay(config.data_dir / "run", dsn, DraftCourier(sender), sender.appender, root[LOG])
    await relay.start()
    yield
    await relay.stop()
