"""What may be asked of a search, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

LONGEST = 256  # characters of a question
SHORTEST_TASK = 4
MOST_HITS = 100  # of a task
LIFETIME = 3600.0  # seconds until a task and what is left of its results are forgotten

Order = Literal["rank", "recent"]
Status = Literal["WAITING", "IN_PROCESS", "SUCCESS", "FAILED"]


@dataclass(frozen=True, slots=True)
class PageEnd:
    """The end of a page: the next one begins after it."""

    rank: float
    message_id: int


@dataclass(frozen=True, slots=True)
class SearchRequest:
    q: str
    limit: int
    order: Order = "rank"
    chats: Sequence[int] | None = None
    chat_id: int | None = None
    sender_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: PageEnd | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A message that matches a question."""

    message_id: int
    chat_id: int
    rank: float


@dataclass(frozen=True, slots=True)
class Matches:
    """What the index knows of a question, or that it must first come up to `head`."""

    documents: list[Match] | None
    head: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """Messages that a rebuilding looks at next: those after one up to another, or all the rest."""

    after: int
    upto: int | None
    head: int


class Hit(Struct, frozen=True):
    message: Any  # as the messages show it everywhere
    highlights: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class HitPage:
    hits: list[Hit]
    next: PageEnd | None
    is_complete: bool


class NewSearch(Struct, frozen=True):
    message: str


@dataclass(frozen=True, slots=True)
class Task:
    task_id: int
    status: Status
    progress: int
    text: str
    attempt: int  # the last one; of a task that is done the one that did it
    is_complete: bool


@dataclass(frozen=True, slots=True)
class TakenTask:
    """A task that a worker has taken up. The attempt tells it from the next one."""

    task_id: int
    asker_id: int | None
    text: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Result:
    number: int
    chat_id: int
    message_id: int


class TaskHit(Struct, frozen=True):
    message_id: str
    chat_id: str
    text: str
    highlights: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class TaskPage:
    hits: list[TaskHit]
    next: int
    is_complete: bool
