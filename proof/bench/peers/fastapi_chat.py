"""A chat by FastAPI and asyncpg: one insert of its own for each message, acknowledged and told to the room after its
commit. Each socket has a bounded queue and a writer, so that a slow member delays nobody and all hear one order.

It speaks the frames of `messenger.v1` as far as they are measured. Where PostgreSQL is, the usual PG variables say.
"""

import asyncio
import hashlib
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Literal

import asyncpg
import uvicorn
from fastapi import FastAPI, Header, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, Field, ValidationError

WHO = """
    select p.id, array(select chat_id from members where person_id = p.id) as chats from people p where token_hash = $1
"""
STORE = """
    insert into messages (chat_id, sender_id, key, text)
    select $1, $2, $3, $4 where exists (select from members where chat_id = $1 and person_id = $2)
        on conflict (chat_id, sender_id, key) do nothing returning id, sent_at
"""
FIND = "select id, sent_at from messages where chat_id = $1 and sender_id = $2 and key = $3"
WAITING = 256  # events that a slow member may be behind
POLICY, TRY_LATER = 1008, 1013


class Draft(BaseModel):
    type: Literal["new_message"]
    ref: str = Field(max_length=64)
    chat_id: int
    client_id: str = Field(max_length=64)
    text: str = Field(min_length=1, max_length=4000)


class Ack(BaseModel):
    type: Literal["ack"] = "ack"
    ref: str
    message_id: int
    sent_at: datetime


class Refusal(BaseModel):
    type: Literal["error"] = "error"
    ref: str = ""
    code: str


class Message(BaseModel):
    type: Literal["new_message"] = "new_message"
    message_id: int
    chat_id: int
    sender_id: int
    text: str
    sent_at: datetime


class Listener:
    """Who does not keep up has lost messages: it is closed, to come again and read what it missed."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._queue: asyncio.Queue[str] = asyncio.Queue(WAITING)
        self._is_slow = False

    def tell(self, words: str) -> None:
        if self._queue.full():
            self._is_slow = True
        else:
            self._queue.put_nowait(words)

    async def write(self) -> None:
        while not self._is_slow:
            await self._socket.send_text(await self._queue.get())
        await self._socket.close(TRY_LATER)


rooms: defaultdict[int, set[Listener]] = defaultdict(set)


@asynccontextmanager
async def with_pool(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=with_pool)


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ready"}


@app.websocket("/v1/ws")
async def live(socket: WebSocket, authorization: Annotated[str, Header()] = "") -> None:
    pool = app.state.pool
    token = authorization.removeprefix("session_id ")
    who = await pool.fetchrow(WHO, hashlib.sha256(token.encode()).digest())
    if who is None:
        await socket.close(POLICY)
        return
    await socket.accept()
    listener = Listener(socket)
    for chat in who["chats"]:
        rooms[chat].add(listener)
    writer = asyncio.create_task(listener.write())
    try:
        listener.tell('{"type":"ready"}')
        while True:
            listener.tell(await answer(pool, who["id"], listener, await socket.receive_text()))
    except WebSocketDisconnect:
        pass
    finally:
        for chat in who["chats"]:
            rooms[chat].discard(listener)
        writer.cancel()
        await asyncio.wait([writer])


async def answer(pool: asyncpg.Pool, sender: int, listener: Listener, words: str) -> str:
    try:
        draft = Draft.model_validate_json(words)
    except ValidationError:
        return Refusal(code="malformed").model_dump_json()
    key = draft.chat_id, sender, draft.client_id
    row = await pool.fetchrow(STORE, *key, draft.text)
    if row is not None:
        tell_room(sender, listener, draft, row)
    else:
        row = await pool.fetchrow(FIND, *key)
        if row is None:
            return Refusal(ref=draft.ref, code="not-a-member").model_dump_json()
    return Ack(ref=draft.ref, message_id=row["id"], sent_at=row["sent_at"]).model_dump_json()


def tell_room(sender: int, author: Listener, draft: Draft, row: asyncpg.Record) -> None:
    message = Message(
        message_id=row["id"], chat_id=draft.chat_id, sender_id=sender, text=draft.text, sent_at=row["sent_at"]
    )
    words = message.model_dump_json()
    for listener in rooms[draft.chat_id]:
        if listener is not author:
            listener.tell(words)


if __name__ == "__main__":
    uvicorn.run(
        app, host=os.environ["HOST"], port=int(os.environ["PORT"]), log_level="error", ws_per_message_deflate=False
    )
