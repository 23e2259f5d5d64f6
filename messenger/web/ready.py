"""All that leans on how aiohttp reads requests and writes answers; tests/web/test_kept.py holds it to the bytes.

aiohttp asks an answer to `prepare` itself and to `write_eof`, then reads its `status` and `keep_alive`.
"""

from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time

from messenger.web.reply import REQUEST_ID

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

__all__ = ["ReadyAnswer", "http_date", "same_place", "same_request"]

RAW_ID = REQUEST_ID.lower().encode()
http_date = rfc822_formatted_time  # of this second, made once


def same_request(request: web.BaseRequest) -> object:
    """Equal for requests whose heads have the same bytes but for an id, and whose peers have the same address."""
    return (
        request.raw_path, headers_but_id(request), request.method, request.version, request.remote, request.scheme
    )  # fmt: skip


def same_place(request: web.BaseRequest) -> object:
    """The same, whatever the query. It is not equal to any `same_request`."""
    return (
        request.raw_path.partition("?")[0], headers_but_id(request), request.method, request.version, request.remote,
        request.scheme, "any query",
    )  # fmt: skip


def headers_but_id(request: web.BaseRequest) -> tuple[tuple[bytes, bytes], ...]:
    """A proxy gives every request another id."""
    if REQUEST_ID not in request.headers:
        return request.raw_headers
    return tuple(pair for pair in request.raw_headers if pair[0].lower() != RAW_ID)


class ReadyAnswer(web.StreamResponse):
    """Head and body as bytes that leave at once. It keeps the connection, and needs none of what others are made of."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def status(self) -> int:
        return 200

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> "AbstractStreamWriter":
        await request.writer.write_eof(self._data)
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left."""
