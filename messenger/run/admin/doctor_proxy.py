"""What the doctor asks a server as people reach it, through whatever stands in between."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp

from messenger.run.admin.finding import PATIENCE, Finding
from messenger.settings import AuthSettings

AWAY = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
NOT_TRIED = "not tried: --session-file names a file with somebody's session_id"


async def ask_proxy(url: str, auth: AuthSettings, session: str) -> AsyncIterator[Finding]:
    """`session`: somebody's session id, or nothing."""
    # No longer than a stream is silent: what comes later was held back.
    timeout = aiohttp.ClientTimeout(total=None, connect=PATIENCE, sock_read=PATIENCE)
    headers = {auth.header: f"{auth.token_type} {session}"} if session else {}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as http:
        url = url.rstrip("/")
        try:
            yield await _request_ids(http, url)
            yield await _metrics(http, url)
        except AWAY as error:
            yield Finding("proxy", False, f"{url} does not answer: {type(error).__name__}", "Correct --url")
            return
        if not session:
            yield Finding("sockets and streams", True, NOT_TRIED)
            return
        yield await _sockets(http, url)
        yield await _streams(http, url)


async def _request_ids(http: aiohttp.ClientSession, url: str) -> Finding:
    offered = f"doctor-{uuid4().hex}"
    async with http.get(f"{url}/ping", headers={"X-Request-ID": offered}) as answer:
        if answer.status != 200:  # noqa: PLR2004
            return Finding("proxy", False, f"{url}/ping answers {answer.status}", "Lead it to the servers")
        if answer.headers.get("X-Request-ID") != offered:
            return Finding("proxy", False, "X-Request-ID is changed on its way", "Pass it on in both directions")
    return Finding("proxy", True, f"{url} answers, and passes X-Request-ID on")


async def _metrics(http: aiohttp.ClientSession, url: str) -> Finding:
    async with http.get(f"{url}/metrics") as answer:
        if answer.ok:
            return Finding("metrics", False, f"{url}/metrics is open to everybody", "Refuse it at the proxy")
    return Finding("metrics", True, "not for the outside")


async def _sockets(http: aiohttp.ClientSession, url: str) -> Finding:
    try:
        async with http.ws_connect(f"{url}/v1/ws") as socket:
            await socket.receive_json(timeout=PATIENCE)
    except (*AWAY, TypeError) as error:
        status = getattr(error, "status", None)
        if status == 401:  # noqa: PLR2004
            return Finding("sockets", False, "the session is not accepted", "Sign in anew")
        remedy = "Pass Upgrade and Connection on for /v1/ws, over HTTP/1.1"
        return Finding("sockets", False, f"no upgrade: {status or type(error).__name__}", remedy)
    return Finding("sockets", True, "open")


async def _streams(http: aiohttp.ClientSession, url: str) -> Finding:
    """A stream begins with its cursor, at once."""
    try:
        async with http.get(f"{url}/v1/events?format=sse") as answer, asyncio.timeout(PATIENCE):
            answer.raise_for_status()
            await answer.content.readuntil(b"\n\n")
    except AWAY as error:
        seen = f"nothing came: {getattr(error, 'status', None) or type(error).__name__}"
        return Finding("streams", False, seen, "Switch buffering off for /v1/events")
    return Finding("streams", True, "events come at once")
