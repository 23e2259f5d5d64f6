"""A refusal is an exception of `messenger.errors`, one class for each code; no answer is `Unreachable`."""

from functools import lru_cache

import msgspec

from messenger.errors import Flaw, MessengerError, catalogue

CLASSES = {kind.code: kind for kind in catalogue()}
SEVERAL = 64  # codes that this client does not know
PASSING = {408, 429}
SERVER_ERRORS = 500


class Unreachable(ConnectionError):
    """No answer came. Whether what was asked for has been done is not known."""


class Problem(msgspec.Struct):
    code: str
    title: str = ""
    detail: str = ""
    errors: tuple[Flaw, ...] = ()
    retry_after: float | None = None


def refusal(status: int, body: bytes, retry_after: str | None = None) -> MessengerError:
    """As the exception of its code. What a proxy says in words of its own has the code `http-<status>`."""
    try:
        told = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        told = Problem(f"http-{status}", f"The answer was {status}")
    kind = CLASSES.get(told.code) or _unknown(told.code, status, told.title or told.code)
    problem = kind(told.detail or None, retry_after=_seconds(retry_after) if retry_after else told.retry_after)
    problem.flaws = told.errors
    return problem


def will_pass(problem: MessengerError) -> bool:
    """The same may be asked again, later: nothing was wrong with it."""
    return problem.status >= SERVER_ERRORS or problem.status in PASSING


@lru_cache(SEVERAL)
def _unknown(code: str, status: int, title: str) -> type[MessengerError]:
    return type("UnknownRefusal", (MessengerError,), {"code": code, "status": status, "title": title})


def _seconds(retry_after: str) -> float | None:
    return float(retry_after) if retry_after.isdecimal() else None
