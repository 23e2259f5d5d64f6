"""Hears what comes after a cursor: over a socket, or by polls where none can be opened. It comes back by itself."""

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from aiohttp import ClientWebSocketResponse, WSMsgType

from messenger.client.patience import Backoff, patiently
from messenger.client.problems import Unreachable, refusal, will_pass
from messenger.client.rest import AWAY, Rest
from messenger.errors import BadCursor, MessengerError

HEARTBEAT = 20.0  # seconds of silence before a ping; half as long for its answer, then the line is given up
OPENING = 10.0
HELD = 30.0  # a line that lasted so long was a good one
POLL = 25  # seconds that a poll waits
POLLING = 60.0  # seconds until a socket is tried again
REFUSALS = 2  # sockets in a row that could not be opened though requests are answered
DRAINING = 4004
CONTROL = {"hello", "ready", "resumed", "ack", "pong"}


class Line:
    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._socket: ClientWebSocketResponse | None = None
        self._backoff = Backoff()
        self._refusals = 0
        self._opened_at = 0.0
        self._not_before = 0.0
        self._polls_until = 0.0

    async def now(self) -> str:
        """The cursor of this moment."""
        answer = await patiently(lambda: self._rest.call("GET", "v1/events"))
        return str(answer["cursor"])

    async def hear(self, cursor: str) -> list[dict[str, Any]]:
        """The next events after the cursor, once there are any."""
        while True:
            await asyncio.sleep(max(0.0, self._not_before - _time()))
            try:
                heard = await (self._poll(cursor, POLL) if _time() < self._polls_until else self._listen(cursor))
            except MessengerError as problem:
                if not will_pass(problem):
                    raise
                self._wait(self._backoff.seconds(problem.retry_after))
            except Unreachable:
                self._wait(self._backoff.seconds())
            else:
                if heard:
                    self._backoff.tries = 0
                    return heard

    async def say(self, frame: dict[str, Any]) -> None:
        """Only if a socket is open, and without an answer."""
        if self._socket is not None:
            with suppress(*AWAY):
                await self._socket.send_str(msgspec.json.encode(frame).decode())

    async def close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    def _wait(self, seconds: float) -> None:
        self._not_before = _time() + seconds

    async def _poll(self, cursor: str, wait: int) -> list[dict[str, Any]]:
        query = urlencode({"after": cursor, "wait": wait})
        answer = await self._rest.call("GET", f"v1/events?{query}", seconds=wait + OPENING)
        self._backoff.tries = 0
        return list(answer["events"])

    async def _listen(self, cursor: str) -> list[dict[str, Any]]:
        if self._socket is None:
            try:
                self._socket = await self._opened(cursor)
            except AWAY:
                return await self._asked_why(cursor)
            self._refusals, self._opened_at = 0, _time()
        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            return await self._read(message.data)
        await self.close()
        if _time() - self._opened_at > HELD:
            self._backoff.tries = 0
        if message.type is WSMsgType.CLOSE and message.data == DRAINING:
            told = message.extra or ""
            self._wait(int(told) / 1000 if told.isdecimal() else self._backoff.seconds())
            return []
        raise Unreachable("The socket is over.")

    async def _opened(self, cursor: str) -> ClientWebSocketResponse:
        async with asyncio.timeout(OPENING):
            return await self._rest.http.ws_connect(
                self._rest.address(f"v1/ws?{urlencode({'cursor': cursor})}"),
                protocols=("messenger.v1",),
                headers=self._rest.headers,
                heartbeat=HEARTBEAT,
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )

    async def _asked_why(self, cursor: str) -> list[dict[str, Any]]:
        """A refused upgrade has no readable reason; a request is refused for the same one, and says it.

        Where it is answered, it is only sockets that do not come through.
        """
        heard = await self._poll(cursor, 0)
        self._refusals += 1
        if self._refusals >= REFUSALS:
            self._refusals, self._polls_until = 0, _time() + POLLING
        return heard

    async def _read(self, text: str) -> list[dict[str, Any]]:
        fields: dict[str, Any] = msgspec.json.decode(text)
        if fields["type"] == "error":
            problem = refusal(fields["error"]["status"], msgspec.json.encode(fields["error"]))
            if isinstance(problem, BadCursor):
                await self.close()
                raise problem
            return []  # of what was said in passing
        return [] if fields["type"] in CONTROL else [fields]


def _time() -> float:
    return asyncio.get_running_loop().time()
