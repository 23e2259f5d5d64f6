"""One person on one device: signing in, what can be done in chats, and the events."""

import asyncio
import os
import secrets
from collections import defaultdict
from functools import partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import msgspec

from messenger.client.inbox import CursorFile, Events, Inbox
from messenger.client.line import Line
from messenger.client.patience import patiently
from messenger.client.rest import Rest
from messenger.client.values import Chat, Message, Registered, SignedIn, State

TYPING = 3.0  # seconds; more often is not told
CHATS = 100  # on one page


class Client:
    """`async with Client("https://chat.example.org/") as client`.

    `session_id`: of an earlier login. `cursor_file`: where the place in the log is kept, so that the next run of the
    program hears what happened in between.
    """

    def __init__(
        self, url: str, *, session_id: str | None = None, cursor_file: str | os.PathLike[str] | None = None
    ) -> None:
        self._address = url, session_id
        self._file = CursorFile(cursor_file) if cursor_file is not None else None
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sending: set[asyncio.Task[Message]] = set()
        self._typed_at: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        self._rest = Rest(*self._address)
        self._line = Line(self._rest)
        try:
            self._inbox = Inbox(self._line, self._file)
        except BaseException:
            await self._rest.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sending = tuple(self._sending)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        await self._inbox.close()
        await self._line.close()
        await self._rest.close()

    @property
    def session_id(self) -> str | None:
        """Another client can go on with it, instead of signing in."""
        return self._rest.session_id

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Any request (`"GET", "v1/users/me"`), once: the JSON of its answer, a MessengerError, or Unreachable."""
        return await self._rest.call(method, path, body)

    # --- signing in

    async def register(self, name: str, password: str, *, email: str | None = None) -> Registered:
        wanted = {"user_name": name, "password": password, "email": email}
        return msgspec.convert(await self.call("POST", "v1/auth/register", wanted), Registered)

    async def login(
        self, name: str, password: str, *, client_id: str | None = None, device_name: str | None = None
    ) -> SignedIn:
        """`client_id` names the device: its next login takes the place of this session."""
        wanted = {"user_name": name, "password": password, "client_id": client_id, "device_name": device_name}
        return await self._signed_in("v1/auth/login", wanted)

    async def link(self, link: str, *, client_id: str | None = None, device_name: str | None = None) -> SignedIn:
        """By what `messenger-admin link` has printed."""
        wanted = {"token": link.rpartition("#link=")[2], "client_id": client_id, "device_name": device_name}
        return await self._signed_in("v1/auth/link", wanted)

    async def logout(self) -> None:
        await self.call("POST", "v1/auth/logout")
        self._rest.session_id = None

    async def _signed_in(self, path: str, wanted: dict[str, Any]) -> SignedIn:
        found = msgspec.convert(await self.call("POST", path, wanted), SignedIn)
        self._rest.session_id = found.session_id
        await self._line.close()  # it was another session's
        return found

    # --- what happens

    def events(self) -> Events:
        """Everything that happens from the kept cursor on, else from now; also what I send. To be followed by one.

        Lines that break are opened again. Ends with SessionExpired, SessionRevoked or another final refusal.
        """
        return Events(self._inbox)

    async def sync(self) -> State:
        """All of mine at one moment; `events` goes on from there."""
        state = msgspec.convert(await self.call("GET", "v1/sync"), State)
        self._inbox.begin(state.cursor)
        return state

    # --- chats

    async def chats(self) -> list[Chat]:
        """All of mine, the latest first."""
        found: list[Chat] = []
        page: dict[str, Any] = {"limit": CHATS}
        while True:
            answer = await self.call("GET", f"v1/chats?{urlencode(page)}")
            found += msgspec.convert(answer["chats"], list[Chat])
            if answer["next"]["iterator"] is None:
                return found
            page["from"] = answer["next"]["iterator"]

    async def history(
        self, chat_id: str, *, limit: int = 50, before: str | None = None, after: str | None = None
    ) -> list[Message]:
        """The newest messages, or those next to a message; ascending."""
        place = {"before": before} if before else {"after": after} if after else {"anchor": "newest"}
        asked = urlencode({"limit": limit, "read_cursors": "false", **place})
        answer = await self.call("GET", f"{_messages(chat_id)}?{asked}")
        return msgspec.convert(answer["messages"], list[Message])

    async def send(
        self, chat_id: str, text: str, *, client_id: str | None = None, reply_to: str | None = None
    ) -> Message:
        """Stored once and in the order of the calls, however often it has to be tried.

        `client_id`: the key by which the server knows a repeat. Who stops waiting does not stop the message.
        """
        words = {"text": text, "client_id": client_id or secrets.token_hex(16), "reply_to": reply_to}
        task = asyncio.create_task(self._send(chat_id, words))
        self._sending.add(task)
        task.add_done_callback(self._sent)
        return await asyncio.shield(task)

    async def _send(self, chat_id: str, words: dict[str, Any]) -> Message:
        async with self._turns[chat_id]:
            answer = await patiently(partial(self.call, "POST", _messages(chat_id), words))
        return msgspec.convert(answer, Message)

    def _sent(self, task: asyncio.Task[Message]) -> None:
        self._sending.discard(task)
        if not task.cancelled():
            task.exception()  # told to who waits for it, if anybody still does

    async def edit(self, chat_id: str, message_id: str, text: str) -> Message:
        return msgspec.convert(await self.call("PATCH", _message(chat_id, message_id), {"text": text}), Message)

    async def delete(self, chat_id: str, message_id: str) -> None:
        await self.call("DELETE", _message(chat_id, message_id))

    async def react(self, chat_id: str, message_id: str, emoji: str) -> None:
        await self.call("PUT", f"{_message(chat_id, message_id)}/reactions/{quote(emoji, safe='')}")

    async def unreact(self, chat_id: str, message_id: str, emoji: str) -> None:
        await self.call("DELETE", f"{_message(chat_id, message_id)}/reactions/{quote(emoji, safe='')}")

    async def read(self, chat_id: str, message_id: str) -> None:
        """Up to this message."""
        await self.call("POST", f"v1/chats/{quote(chat_id, safe='')}/read", {"message_id": message_id})

    async def typing(self, chat_id: str) -> None:
        """Told while a socket is open, that is where the events are followed; else dropped."""
        now = asyncio.get_running_loop().time()
        if now - self._typed_at.get(chat_id, -TYPING) >= TYPING:
            self._typed_at[chat_id] = now
            await self._line.say({"type": "typing", "chat_id": chat_id})


def _messages(chat_id: str) -> str:
    return f"v1/chats/{quote(chat_id, safe='')}/messages"


def _message(chat_id: str, message_id: str) -> str:
    return f"{_messages(chat_id)}/{quote(message_id, safe='')}"
