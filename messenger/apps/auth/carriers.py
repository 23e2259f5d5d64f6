"""Finds the credential of a request: in the header, the cookie, or a socket's ticket. The first one found counts.

Sockets of older clients have `?token=` instead of a ticket; it was given on purpose, so it goes before the cookie.

A credential that cannot be read is refused; the next one is not tried.
"""

import re
from enum import Enum

from aiohttp import web

from messenger.apps.auth.cookies import SessionCookie
from messenger.apps.auth.sessions import AccessToken, Credential, SessionToken, SocketTicket
from messenger.apps.auth.tokens import OPAQUE_TOKEN, SESSION_TOKEN
from messenger.errors import TokenInvalid
from messenger.settings import AuthSettings
from messenger.web.access import takes_token

SPACE = re.compile(r"[ \t]+")


class Carrier(Enum):
    HEADER = "header"
    COOKIE = "cookie"
    TICKET = "ticket"
    TOKEN = "token"


def find_carrier(request: web.Request, rules: AuthSettings, cookie: SessionCookie) -> Carrier | None:
    if rules.header in request.headers:
        return Carrier.HEADER
    if is_socket(request) and takes_token(request) and "token" in request.query:
        return Carrier.TOKEN
    if cookie.is_in(request):
        return Carrier.COOKIE
    if is_socket(request) and "ticket" in request.query:
        return Carrier.TICKET
    return None


async def read(carrier: Carrier, request: web.Request, rules: AuthSettings, cookie: SessionCookie) -> Credential:
    if carrier is Carrier.HEADER:
        return _read_header(request.headers.getall(rules.header), rules.token_type)
    if carrier is Carrier.TICKET:
        return _read_ticket(request.query.getall("ticket"))
    if carrier is Carrier.TOKEN:
        return _read_token(request.query.getall("token"))
    token = await cookie.open(request)
    if token is None:
        raise TokenInvalid("The session cookie cannot be read.")
    return SessionToken(token)


def is_socket(request: web.Request) -> bool:
    return request.method == "GET" and request.headers.get("Upgrade", "").strip().lower() == "websocket"


def _read_header(values: list[str], token_type: str) -> Credential:
    if len(values) != 1:
        raise TokenInvalid("The credential is given twice.")
    word, *rest = SPACE.split(values[0].strip(), maxsplit=1)
    text = rest[0] if rest else ""
    if word.lower() == token_type.lower() and SESSION_TOKEN.fullmatch(text):
        return SessionToken(text)
    if word.lower() == "bearer" and text:
        return AccessToken(text)
    raise TokenInvalid(f"`{token_type} <session id>` or `Bearer <access token>` is expected.")


def _read_ticket(values: list[str]) -> SocketTicket:
    if len(values) != 1 or not OPAQUE_TOKEN.fullmatch(values[0]):
        raise TokenInvalid
    return SocketTicket(values[0])


def _read_token(values: list[str]) -> Credential:
    if len(values) != 1:
        raise TokenInvalid("The credential is given twice.")
    return SessionToken(values[0]) if SESSION_TOKEN.fullmatch(values[0]) else AccessToken(values[0])
