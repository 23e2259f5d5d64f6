"""Who is asking, and through which session. Decided once per request; the database row is the judge."""

from dataclasses import dataclass
from typing import Annotated, NewType

from msgspec import Meta

UserId = NewType("UserId", int)
SessionId = NewType("SessionId", int)

MAX_ID = 2**53 - 1  # the largest integer every JSON reader keeps exactly
# An id in JSON: a number, or the same as text.
JsonId = Annotated[int, Meta(ge=1, le=MAX_ID)] | Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,15}$")]


@dataclass(frozen=True, slots=True)
class Identity:
    user_id: UserId
    session_id: SessionId
    reads_all: bool = False  # on a test rig without sign-in every chat is open to every reader


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from, for the audit."""

    address: str
    request_id: str
