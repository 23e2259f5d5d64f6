"""Everything that can be refused: one class per reason, with its code, status and sentence.

Programs use `code`; people read `detail`. The list is published in docs/errors.md and swagger.yml
and compared with this file by a test. How an error becomes an answer is decided in web and ws.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with what was sent: where (a JSON pointer, or the parameter's name), and what."""

    pointer: str
    detail: str


class MessengerError(Exception):
    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]

    def __init__(
        self, detail: str | None = None, *, flaws: Sequence[Flaw] = (), retry_after: float | None = None
    ) -> None:
        self.detail = detail or self.title + "."
        self.flaws = tuple(flaws)
        self.retry_after = retry_after
        super().__init__(self.detail)

    def problem(self, request_id: str | None = None) -> dict[str, Any]:
        """The body of RFC 9457. `message` repeats `detail` for older clients."""
        problem: dict[str, Any] = {
            "type": f"/docs/errors#{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "message": self.detail,
            "request_id": request_id,
        }
        if self.flaws:
            problem["errors"] = [{"pointer": flaw.pointer, "detail": flaw.detail} for flaw in self.flaws]
        return problem


class BadParameters(MessengerError):
    code, status, title = "bad-parameters", 400, "The request cannot be understood"


class BadCursor(MessengerError):
    code, status, title = "bad-cursor", 400, "This is not a cursor"


class AuthFailed(MessengerError):
    code, status, title = "auth-failed", 401, "Sign in first"


class BadPassword(MessengerError):
    code, status, title = "bad-password", 401, "Wrong name or password"


class SessionExpired(MessengerError):
    code, status, title = "session-expired", 401, "This session has expired"


class SessionRevoked(MessengerError):
    code, status, title = "session-revoked", 401, "This session has ended"


class TokenInvalid(MessengerError):
    code, status, title = "token-invalid", 401, "This token is not valid"


class TokenReused(MessengerError):
    code, status, title = "token-reused", 401, "This refresh token was used before; its session has ended"


class CsrfFailed(MessengerError):
    code, status, title = "csrf-failed", 403, "This request comes from another site"


class OriginNotAllowed(MessengerError):
    code, status, title = "origin-not-allowed", 403, "Pages of this origin may not open sockets here"


class Forbidden(MessengerError):
    code, status, title = "forbidden", 403, "You have no right to do this"


class ChatNotFound(MessengerError):
    code, status, title = "chat-not-found", 404, "There is no such chat"


class GroupNotFound(MessengerError):
    code, status, title = "group-not-found", 404, "There is no such group"


class MessageNotFound(MessengerError):
    code, status, title = "message-not-found", 404, "There is no such message"


class TaskNotFound(MessengerError):
    code, status, title = "task-not-found", 404, "There is no such search task"


class UserNotFound(MessengerError):
    code, status, title = "user-not-found", 404, "There is no such user"


class NotFound(MessengerError):
    code, status, title = "not-found", 404, "There is nothing here"


class MethodNotAllowed(MessengerError):
    code, status, title = "method-not-allowed", 405, "This path does not know this method"


class TimedOut(MessengerError):
    code, status, title = "timeout", 408, "The request took too long to arrive"


class UserAlreadyExists(MessengerError):
    code, status, title = "user-already-exists", 409, "This name or e-mail is taken"


class AlreadyMember(MessengerError):
    code, status, title = "already-member", 409, "This person is in the chat already"


class IdempotencyConflict(MessengerError):
    code, status, title = "idempotency-conflict", 409, "This key was used for another message"


class LastOwner(MessengerError):
    code, status, title = "last-owner", 409, "A chat keeps at least one owner"


class TooLarge(MessengerError):
    code, status, title = "too-large", 413, "The request is too large"


class UriTooLong(MessengerError):
    code, status, title = "uri-too-long", 414, "The request line is too long"


class UnsupportedEncoding(MessengerError):
    code, status, title = "unsupported-encoding", 415, "Request bodies are taken uncompressed only"


@dataclass(frozen=True, slots=True)
class Quota:
    """So many of something within so many seconds."""

    name: str
    most: int
    window: int


class TooManyRequests(MessengerError):
    code, status, title = "request-limit-exceeded", 429, "Too many requests"

    def __init__(
        self, detail: str | None = None, *, retry_after: float | None = None, quota: Quota | None = None
    ) -> None:
        """`quota`: what is used up until then."""
        super().__init__(detail, retry_after=retry_after)
        self.quota = quota


class HeadersTooLarge(MessengerError):
    code, status, title = "headers-too-large", 431, "The request's headers are too large"


class InternalError(MessengerError):
    code, status, title = "internal", 500, "Something went wrong on the server"


class Unavailable(MessengerError):
    code, status, title = "unavailable", 503, "The service is not available right now"


# Said by nginx before the servers (deploy/nginx), never by a server.


class BadGateway(MessengerError):
    code, status, title = "bad-gateway", 502, "No server can be reached right now"


class GatewayTimeout(MessengerError):
    code, status, title = "gateway-timeout", 504, "The server took too long to answer"


def catalogue() -> Iterator[type[MessengerError]]:
    """Every reason there is, in the order of this file."""
    yield from (kind for kind in MessengerError.__subclasses__() if kind.__module__ == __name__)
