"""What comes in as JSON about chats and members, and the values between the edge and the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from messenger import synonyms
from messenger.apps.chats.gate import ChatKind, EffectiveRole, Role, effective_role
from messenger.errors import BadParameters, Flaw
from messenger.identity import JsonId, UserId
from messenger.text import is_sane_name

LONGEST_NAME = 255
MOST_AT_ONCE = 1000  # people named in one request
YEARS = range(1970, 9999)  # no calendar or time zone on the way has trouble with these

Join = Literal["open", "invite"]
Ids = Annotated[list[JsonId], Meta(max_length=MOST_AT_ONCE)]


class NewChat(Struct, frozen=True):
    chat_name: str | None = None
    name: str | None = None
    join: Join = "open"
    member_ids: Ids = []

    @property
    def title(self) -> str:
        word, title = synonyms.take(chat_name=self.chat_name, name=self.name)
        return checked_name(title, f"/{word}")


class NewGroup(Struct, frozen=True):
    participant_user_ids: Ids
    name: str | None = None
    chat_name: str | None = None

    @property
    def title(self) -> str:
        word, title = synonyms.take(name=self.name, chat_name=self.chat_name)
        return checked_name(title, f"/{word}")


class NewName(Struct, frozen=True):
    user_name: str


class NewMembers(Struct, frozen=True):
    user_ids: Annotated[list[JsonId], Meta(min_length=1, max_length=MOST_AT_ONCE)]


class NewRole(Struct, frozen=True):
    role: Role


class ChatChange(Struct, frozen=True):
    """What is absent stays; `muted_until` is mine alone, and `null` ends it."""

    name: str | UnsetType = UNSET
    chat_name: str | UnsetType = UNSET
    join: Join | UnsetType = UNSET
    muted_until: Annotated[datetime, Meta(tz=True)] | None | UnsetType = UNSET

    @property
    def columns(self) -> dict[str, str]:
        """What changes for everybody in the chat."""
        changes: dict[str, str] = {}
        named = synonyms.find(name=self.name, chat_name=self.chat_name)
        if named is not None:
            changes["name"] = checked_name(named[1], f"/{named[0]}")
        if self.join is not UNSET:
            changes["join_rule"] = self.join
        return changes


@dataclass(frozen=True, slots=True)
class Membership:
    """A person's membership of a chat; without a role: not a member."""

    chat_id: int
    kind: ChatKind
    chat_name: str | None
    join_rule: Join
    head_seq: int
    role: Role | None
    name: str | None  # the one taken for this chat only

    @property
    def effective_role(self) -> EffectiveRole | None:
        return None if self.role is None else effective_role(self.kind, self.role)


@dataclass(frozen=True, slots=True)
class ChatState:
    """What of a chat is the same for all members."""

    chat_id: int
    kind: ChatKind
    name: str | None
    join_rule: Join
    creator_id: int | None
    created_at: datetime
    head_seq: int
    member_count: int


@dataclass(frozen=True, slots=True)
class LastMessage:
    """The last message of a chat."""

    message_id: int
    seq: int
    sender_id: int
    sender_name: str
    text: str
    sent_at: datetime
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class ChatView:
    """A chat as one person sees it. `position` orders that person's list."""

    chat: ChatState
    role: Role | None
    read_seq: int
    read_by_all_seq: int
    muted_until: datetime | None
    peer_id: int | None
    peer_name: str | None
    last: LastMessage | None
    position: int

    @property
    def effective_role(self) -> EffectiveRole | None:
        return None if self.role is None else effective_role(self.chat.kind, self.role)


@dataclass(frozen=True, slots=True)
class ListPosition:
    """A page of the list begins after the chat at this position."""

    position: int
    chat_id: int


@dataclass(frozen=True, slots=True)
class ChatPage:
    chats: Sequence[ChatView]
    next: ListPosition | None


@dataclass(frozen=True, slots=True)
class Member:
    user_id: int
    name: str
    role: Role
    read_seq: int
    message_id: int | None  # the last message that was read
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class MemberPage:
    members: Sequence[Member]
    next: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """A chat of kind `group`, with those who have been in it the longest."""

    chat: ChatState
    participants: Sequence[Member]


@dataclass(frozen=True, slots=True)
class MemberCount:
    members: int
    owners: int


@dataclass(frozen=True, slots=True)
class ReadRun:
    """A run of messages that all members have read now."""

    chat_id: int
    from_seq: int
    to_seq: int
    message_id: int


@dataclass(frozen=True, slots=True)
class Heir:
    """The new owner of a chat that has lost its only owner."""

    chat_id: int
    user_id: int
    was: Role


@dataclass(frozen=True, slots=True)
class Participant:
    """A person as the members of a chat see them; without a role: no longer a member."""

    user_id: int
    name: str
    role: Role | None


@dataclass(frozen=True, slots=True)
class ChatAndPerson:
    """What an event can show: the chat (None: deleted) and the person it is about, as they are now."""

    chat: ChatState | None
    person: Participant | None


def people(ids: Sequence[int | str]) -> list[UserId]:
    """Without repetitions, in the order given."""
    return [UserId(one) for one in dict.fromkeys(int(one) for one in ids)]


def checked_name(name: str, pointer: str) -> str:
    """Without the spaces around it."""
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        detail = f"must have 1 to {LONGEST_NAME} characters"
    elif not is_sane_name(name):
        detail = "holds characters that a name must not have"
    else:
        return name
    raise BadParameters(f"{pointer}: {detail}.", flaws=[Flaw(pointer, detail)])


def checked_moment(moment: datetime | None, pointer: str) -> datetime | None:
    if moment is not None and moment.year not in YEARS:
        detail = f"must lie between {YEARS.start} and {YEARS.stop}"
        raise BadParameters(f"{pointer}: {detail}.", flaws=[Flaw(pointer, detail)])
    return moment
