"""Requests to one server as one person: one request, one answer or exception. Nothing is repeated here."""

from typing import Any

import aiohttp
import msgspec
from yarl import URL

from messenger.client.problems import Unreachable, refusal

PATIENCE = 20.0  # seconds; a server answers everything within ten
ERRORS = 300
AWAY = (aiohttp.ClientError, OSError, TimeoutError)


class Rest:
    def __init__(self, url: str, session_id: str | None) -> None:
        root = URL(url.rstrip("/") + "/")
        if root.scheme not in {"http", "https"} or not root.host:
            raise ValueError(f"{url!r} is not the address of a server, such as https://chat.example.org/")
        self.root = root
        self.session_id = session_id
        # Requests say who asks in a header, so the cookie of a login is of no use.
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"session_id {self.session_id}"} if self.session_id else {}

    def address(self, path: str) -> URL:
        return URL(f"{self.root}{path}", encoded=True)

    async def call(self, method: str, path: str, body: Any = None, *, seconds: float = PATIENCE) -> Any:
        """The answer's JSON; None where there is none."""
        try:
            async with self.http.request(
                method,
                self.address(path),
                data=None if body is None else msgspec.json.encode(body),
                headers={**self.headers, "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as response:
                raw = await response.read()
        except AWAY as error:
            raise Unreachable(f"{method} {self.address(path).origin()}: {error!r}") from error
        if response.status >= ERRORS:
            raise refusal(response.status, raw, response.headers.get("Retry-After"))
        try:
            return msgspec.json.decode(raw) if raw else None
        except msgspec.DecodeError as error:
            raise Unreachable(f"{method} {self.address(path).origin()}: this is not the server's answer") from error

    async def close(self) -> None:
        await self.http.close()
