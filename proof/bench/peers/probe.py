"""How little a durable send can cost in Python: whatever came while the last commit ran is one insert, and what one
commit tells a socket is one write. An existence proof and no product: no sessions that end, no limits, no receipts, no
resume, no search.

It speaks the frames of `messenger.v1` as far as they are measured. Where PostgreSQL is, the usual PG variables say.
"""

import asyncio
import hashlib
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import asyncpg
import msgspec
import uvloop
from aiohttp import WSMsgType, web

WHO = """
    select p.id, array(select chat_id from members where person_id = p.id) as chats from people p where token_hash = $1
"""
# The member is looked up by a subquery of each row, so that no plan reads the whole table.
STORE = """
    insert into messages (chat_id, sender_id, key, text)
    select chat_id, sender_id, key, text
      from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) s(chat_id, sender_id, key, text)
     where (select true from members m where m.chat_id = s.chat_id and m.person_id = s.sender_id)
        on conflict (chat_id, sender_id, key) do nothing returning id
"""
FIND = "select id from messages where chat_id = $1 and sender_id = $2 and key = $3"
MOST = 500  # drafts a commit
READY = '{"type":"ready"}'
SHORT = 126


class Draft(msgspec.Struct, tag_field="type", tag="new_message"):
    ref: str
    chat_id: str
    client_id: str
    text: str


class Ack(msgspec.Struct, tag_field="type", tag="ack"):
    ref: str
    message_id: str


class Refusal(msgspec.Struct, tag_field="type", tag="error"):
    ref: str
    code: str


class Message(msgspec.Struct, tag_field="type", tag="new_message"):
    message_id: str
    chat_id: str
    sender_id: int
    text: str


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Draft).decode


def framed(what: msgspec.Struct) -> bytes:
    words = encode(what)
    size = len(words)
    return (bytes((0x81, size)) if size < SHORT else b"\x81\x7e" + size.to_bytes(2, "big")) + words


class Listener:
    def __init__(self, sender: int, transport: asyncio.Transport) -> None:
        self.sender = sender
        self.transport = transport


Said = tuple[Listener, int, Draft]


class Postbox:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.rooms: defaultdict[int, set[Listener]] = defaultdict(set)
        self._waiting: list[Said] = []
        self._came = asyncio.Event()

    def put(self, said: Said) -> None:
        self._waiting.append(said)
        self._came.set()

    async def work(self) -> None:
        store = await self.connection.prepare(STORE)
        while True:
            await self._came.wait()
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            if not self._waiting:
                self._came.clear()
            rows = await store.fetch(
                [chat for _, chat, _ in batch],
                [author.sender for author, _, _ in batch],
                [draft.client_id for _, _, draft in batch],
                [draft.text for _, _, draft in batch],
            )
            if len(rows) == len(batch):
                self._tell(batch, [row["id"] for row in rows])
            else:
                await self._tell_apart(batch, {row["id"] for row in rows})

    async def _tell_apart(self, batch: Sequence[Said], new: set[int]) -> None:
        """Some were refused or sent before, so each is looked up."""
        for said in batch:
            author, chat, draft = said
            found = await self.connection.fetchval(FIND, chat, author.sender, draft.client_id)
            if found in new:
                new.discard(found)
                self._tell([said], [found])
            elif found is not None:
                author.transport.write(framed(Ack(draft.ref, str(found))))
            else:
                author.transport.write(framed(Refusal(draft.ref, "not-a-member")))

    def _tell(self, batch: Sequence[Said], ids: Sequence[int]) -> None:
        """Who only listens in a chat gets the same joined bytes as all others; who spoke in it, its own."""
        chats: defaultdict[int, list[tuple[Listener, bytes]]] = defaultdict(list)
        acks: defaultdict[Listener, list[bytes]] = defaultdict(list)
        for (author, chat, draft), message_id in zip(batch, ids, strict=True):
            chats[chat].append((author, framed(Message(str(message_id), draft.chat_id, author.sender, draft.text))))
            acks[author].append(framed(Ack(draft.ref, str(message_id))))
        for chat, told in chats.items():
            everything = b"".join(frame for _, frame in told)
            for listener in self.rooms[chat]:
                if listener in acks:
                    acks[listener][:0] = [frame for author, frame in told if author is not listener]
                else:
                    listener.transport.write(everything)
        for author, frames in acks.items():
            author.transport.write(b"".join(frames))


POOL = web.AppKey("pool", asyncpg.Pool)
POSTBOX = web.AppKey("postbox", Postbox)


async def live(request: web.Request) -> web.StreamResponse:
    postbox = request.app[POSTBOX]
    token = request.headers.get("Authorization", "").removeprefix("session_id ")
    async with request.app[POOL].acquire() as connection:
        who = await connection.fetchrow(WHO, hashlib.sha256(token.encode()).digest())
    if who is None:
        raise web.HTTPUnauthorized
    socket = web.WebSocketResponse(compress=False, heartbeat=25)
    await socket.prepare(request)
    assert request.transport is not None
    listener = Listener(who["id"], request.transport)
    for chat in who["chats"]:
        postbox.rooms[chat].add(listener)
    try:
        await socket.send_str(READY)
        async for words in socket:
            if words.type is not WSMsgType.TEXT:
                break
            try:
                draft = decode(words.data)
                postbox.put((listener, int(draft.chat_id), draft))
            except (msgspec.MsgspecError, ValueError):
                request.transport.write(framed(Refusal("", "malformed")))
    finally:
        for chat in who["chats"]:
            postbox.rooms[chat].discard(listener)
    return socket


async def ready(request: web.Request) -> web.Response:
    return web.Response()


async def with_postgres(app: web.Application) -> AsyncIterator[None]:
    async with asyncpg.create_pool(min_size=1, max_size=4) as pool, pool.acquire() as connection:
        app[POOL], app[POSTBOX] = pool, Postbox(connection)
        work = asyncio.create_task(app[POSTBOX].work())
        # Without the writer there is nothing to serve.
        work.add_done_callback(lambda done: None if done.cancelled() else os._exit(1))
        yield
        work.cancel()
        await asyncio.wait([work])


async def serve() -> None:
    app = web.Application()
    app.cleanup_ctx.append(with_postgres)
    app.add_routes([web.get("/readyz", ready), web.get("/v1/ws", live)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, os.environ["HOST"], int(os.environ["PORT"])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
