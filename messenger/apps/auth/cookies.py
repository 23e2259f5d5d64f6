"""The session cookie: aiohttp-session's encrypted one, with a session's token in it and nothing else.

The token names the row and the row decides, so a copied cookie dies with its session. The cookie's own age is only a
hint to the browser. Over TLS its name keeps other hosts and plain HTTP from planting one.
"""

from collections.abc import Sequence

from aiohttp import web
from aiohttp_session import Session
from aiohttp_session.cookie_storage import EncryptedCookieStorage
from cryptography.fernet import Fernet, MultiFernet

from messenger.apps.auth.sessions import LIFETIME
from messenger.apps.auth.tokens import SESSION_TOKEN

SECURE_NAME, PLAIN_NAME = "__Host-messenger", "messenger"
WORD = "session_id"


class SessionCookie(EncryptedCookieStorage):
    def __init__(self, keys: Sequence[str], *, is_secure: bool) -> None:
        super().__init__(
            Fernet(keys[0]),
            cookie_name=SECURE_NAME if is_secure else PLAIN_NAME,
            max_age=LIFETIME,
            path="/",
            secure=is_secure,
            httponly=True,
            samesite="Lax",
        )
        # The storage takes a single key; this one reads under the older keys too and writes under the first.
        self._fernet = MultiFernet([Fernet(key) for key in keys])  # type: ignore[assignment]

    def is_in(self, request: web.Request) -> bool:
        return self.load_cookie(request) is not None

    async def open(self, request: web.Request) -> str | None:
        """The session's token; None: no cookie, or one that is not ours."""
        try:
            token = (await self.load_session(request)).get(WORD)
        except (ValueError, AttributeError, TypeError):  # it decrypts, and holds something else
            return None
        return token if isinstance(token, str) and SESSION_TOKEN.fullmatch(token) else None

    async def put(self, request: web.Request, answer: web.StreamResponse, token: str) -> None:
        session = Session(None, data=None, new=True, max_age=self.max_age)
        session[WORD] = token
        await self.save_session(request, answer, session)

    def clear(self, answer: web.StreamResponse) -> None:
        """With all its attributes: a browser does not let go of a `__Host-` cookie for less.

        Written as a header, since an answer about to be sent takes no cookies any more.
        """
        secure = "; Secure" if self.cookie_params["secure"] else ""
        answer.headers.add("Set-Cookie", f'{self.cookie_name}=""; HttpOnly; Max-Age=0; Path=/; SameSite=Lax{secure}')
