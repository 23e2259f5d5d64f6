"""Credentials as text: session ids, refresh tokens, tickets, signed access tokens.

A credential only names a session; its row decides. Random ones are looked up by their SHA-256.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import jwt
import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from messenger.errors import SessionExpired, TokenInvalid
from messenger.identity import SessionId, UserId
from messenger.web.paging import find_id

ISSUER = AUDIENCE = "messenger"
KIND = "access"
ALGORITHM = "HS256"
LEEWAY = 30  # seconds by which the clocks of two workers may differ
LONGEST_ACCESS_TOKEN = 2048
ACCESS_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
SESSION_TOKEN = re.compile(r"[0-9a-f]{32}")
OPAQUE_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def new_session_token() -> str:
    return secrets.token_hex(16)


def new_opaque_token() -> str:
    """256 bits, for refreshing and for tickets."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


@dataclass(frozen=True, slots=True)
class Claim:
    """What an access token says, and the signature proves."""

    user_id: UserId
    session_id: SessionId
    left: float  # seconds until it expires


class Claims(msgspec.Struct, frozen=True):
    exp: int
    iat: int
    sub: str
    sid: str
    aud: str
    iss: str
    typ: str
    nbf: int | None = None


class Mint:
    """Makes and reads what carries our signature. Knows the keys; neither clock nor database."""

    def __init__(self, keys: Sequence[str], *, access_token_ttl: int) -> None:
        roots = [urlsafe_b64decode(key) for key in keys]
        self.ttl = access_token_ttl
        self._signing = {_derive(root, "access token id", 8).hex(): _derive(root, "access token", 32) for root in roots}
        self._first = next(iter(self._signing))
        self._refreshing = [_derive(root, "refresh token", 32) for root in roots]

    def access_token(self, user_id: UserId, session_id: SessionId, *, now: float) -> str:
        claims = {
            "exp": int(now) + self.ttl,
            "iat": int(now),
            "sub": str(user_id),
            "sid": str(session_id),
            "aud": AUDIENCE,
            "iss": ISSUER,
            "typ": KIND,
        }
        return jwt.encode(claims, self._signing[self._first], ALGORITHM, headers={"kid": self._first})

    def read_access_token(self, token: str, *, now: float) -> Claim:
        if len(token) > LONGEST_ACCESS_TOKEN or not ACCESS_TOKEN.fullmatch(token):
            raise TokenInvalid
        claims = self._verified(token)
        user_id, session_id = find_id(claims.sub), find_id(claims.sid)
        if user_id is None or session_id is None or claims.typ != KIND:
            raise TokenInvalid
        if max(claims.iat, claims.nbf or 0) > now + LEEWAY or claims.exp > now + self.ttl + LEEWAY:
            raise TokenInvalid
        if claims.exp <= now - LEEWAY:
            raise SessionExpired("This access token has expired.")
        return Claim(UserId(user_id), SessionId(session_id), claims.exp - now)

    def successors(self, token: str) -> list[str]:
        """What follows a refresh token, under the newest key first: the same answer however often it is asked."""
        return [
            urlsafe_b64encode(hmac.digest(key, token.encode(), "sha256")).rstrip(b"=").decode()
            for key in self._refreshing
        ]

    def _verified(self, token: str) -> Claims:
        try:
            key = self._signing[jwt.get_unverified_header(token)["kid"]]
            # Times are judged above, by one clock and by strict types.
            judged_above: jwt.types.Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
            claims = jwt.decode(
                token, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=judged_above
            )
            return msgspec.convert(claims, Claims)
        except (jwt.PyJWTError, msgspec.ValidationError, KeyError, TypeError, ValueError, RecursionError):
            raise TokenInvalid from None


def _derive(root: bytes, purpose: str, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=f"messenger {purpose}".encode()).derive(root)
