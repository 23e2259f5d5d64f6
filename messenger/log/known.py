"""Who may speak where, under which name, and the numbers of the chats: what a batch may take for known. Pure, bounded.

It was true at one position of the log. Whatever changes a right, name or session is an entry and makes it forgotten;
entries that this process has not heard of yet are looked for by `log_append_known`. Numbers are counted on with the
entries, and a wrong one is refused by its row. Memory alone says yes; a no is always asked of the tables.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from messenger.log.entries import Entry
from messenger.log.recent import Recent

MOST = 100_000  # rights and markers in each of two generations
MOST_IN_CHAT = 1_000
# Who says something, changes what was said or reads it changes nobody's right to speak, and no name.
HARMLESS = (
    "new_message",
    "message_edited",
    "message_deleted",
    "reaction",
    "message_read",
    "message_read_by_all",
    "chat_muted",
)

Seat = tuple[int, int, int | None]  # chat, person, session


class Right(NamedTuple):
    """May speak on this seat, under this name, as of this position."""

    name: str
    at: int


class Marker(NamedTuple):
    seq: int
    at: int


@dataclass(slots=True)
class Chat:
    head_seq: int = 0
    floor_seq: int = 0
    at: int = 0  # as of this position, and of all that was noted after it
    rights: dict[tuple[int, int | None], Right] = field(default_factory=dict)
    markers: dict[int, Marker] = field(default_factory=dict)  # of whom it is known, by person


@dataclass(frozen=True, slots=True)
class Places:
    """What `log_append_known` is told of each draft: docs there."""

    seqs: list[int]
    names: list[str]
    markers: list[int | None]
    befores: list[int | None]
    floors: list[int | None]
    leaving: list[int | None]


@dataclass(slots=True)
class _Turn:
    """A chat's part of a batch."""

    chat: Chat
    head: int
    last: int = 0
    spoke: dict[int, int] = field(default_factory=dict)  # the last draft of each sender


class Known:
    def __init__(self, recent: Recent, most: int = MOST) -> None:
        self._recent = recent
        self._most = most
        self._size = 0  # of the young generation
        self._young: dict[int, Chat] = {}
        self._old: dict[int, Chat] = {}
        self.position = 0  # every entry up to here was noted
        self.forgotten = 0  # so often was everything: what was asked before is not to be learned

    def begin(self, position: int) -> None:
        """Nothing is known; from here on everything is noted."""
        self.forget()
        self.position = position

    def forget(self) -> None:
        self._young, self._old, self._size = {}, {}, 0
        self.forgotten += 1

    def note(self, entry: Entry) -> None:
        """After `Recent`, which remembers the changes of persons."""
        if entry.position != self.position + 1:
            self.forget()  # something was passed over
        self.position = entry.position
        chat_id = entry.chat_id
        if entry.kind not in HARMLESS:
            if chat_id is not None:
                self._young.pop(chat_id, None)
                self._old.pop(chat_id, None)
            elif entry.user_id is None:
                self.forget()
            return
        chat = None if chat_id is None else self._young.get(chat_id) or self._old.get(chat_id)
        if chat is None:
            return
        if entry.kind == "new_message":
            if entry.position > chat.at:
                chat.head_seq += 1
                self._hear(chat, entry.actor_id or 0, chat.head_seq, entry.position)
            elif chat.markers.get(entry.actor_id or 0, NOWHERE).at < entry.position:
                chat.markers.pop(entry.actor_id or 0, None)  # which number it was is not known
        elif entry.kind == "message_read":
            for user_id, _, to_seq, _ in entry.data["reads"]:
                self._hear(chat, user_id, to_seq, entry.position)
        elif entry.kind == "message_read_by_all":
            chat.floor_seq = max(chat.floor_seq, entry.data["to_seq"])

    def _hear(self, chat: Chat, user_id: int, seq: int, at: int) -> None:
        """With a member who may be the only one the floor rises too, and no entry tells of it."""
        marker = chat.markers.get(user_id, NOWHERE)
        is_perhaps_alone = len(chat.markers) == (marker is not NOWHERE)
        if is_perhaps_alone and marker.seq <= chat.floor_seq:
            chat.markers.pop(user_id, None)
        else:
            self._move(chat, user_id, seq, at)

    def _move(self, chat: Chat, user_id: int, seq: int, at: int) -> None:
        known = chat.markers.get(user_id, NOWHERE)
        if known is NOWHERE:
            self._size += 1
            if len(chat.markers) >= MOST_IN_CHAT:
                chat.markers.clear()
        chat.markers[user_id] = Marker(max(known.seq, seq), max(known.at, at))

    def learn(self, seat: Seat, name: str, seq: int, floor_seq: int | None, at: int) -> None:
        """A message was stored by a batch that ended at this position. `floor_seq`: None where it stayed.

        The last one of a chat says its head.
        """
        chat_id, user_id, session_id = seat
        if self._recent.of_chat(chat_id) > at:
            return
        chat = self._find(chat_id)
        if floor_seq is None:
            if chat is None:
                return
            floor_seq = chat.floor_seq
        if chat is None:
            chat = self._young[chat_id] = Chat()
        chat.head_seq, chat.floor_seq, chat.at = seq, floor_seq, at
        if len(chat.rights) >= MOST_IN_CHAT:  # and never without any
            chat.rights.clear()
        self._size += (user_id, session_id) not in chat.rights
        chat.rights[user_id, session_id] = Right(name, at)
        self._move(chat, user_id, seq, at)
        if self._size > self._most:
            self._young, self._old, self._size = {}, self._young, 0

    def _find(self, chat_id: int) -> Chat | None:
        """What is used is young again."""
        chat = self._young.get(chat_id)
        if chat is None and (chat := self._old.pop(chat_id, None)) is not None:
            self._young[chat_id] = chat
            self._size += len(chat.rights) + len(chat.markers)
        return chat

    def find(self, seat: Seat) -> Right | None:
        chat_id, user_id, session_id = seat
        chat = self._young.get(chat_id) or self._old.get(chat_id)
        return None if chat is None else self._right(chat, user_id, session_id)

    def _right(self, chat: Chat, user_id: int, session_id: int | None) -> Right | None:
        right = chat.rights.get((user_id, session_id))
        return None if right is None or self._recent.of_person(user_id) > right.at else right

    def sample(self, most: int) -> dict[Seat, Right]:
        """Some of what is remembered, other ones each time."""
        chats = random.sample(list(self._young), min(most, len(self._young)))
        seats = (
            (chat_id, *random.choice(list(rights))) for chat_id in chats if (rights := self._young[chat_id].rights)
        )
        return {seat: right for seat in seats if (right := self.find(seat)) is not None}

    def place(self, batch: Iterable[Seat]) -> Places | None:
        """The numbers of these drafts, if all of these seats are known."""
        seqs, names = [], []
        turns: dict[int, _Turn] = {}
        for n, (chat_id, user_id, session_id) in enumerate(batch):
            turn = turns.get(chat_id)
            if turn is None:
                chat = self._find(chat_id)
                if chat is None:
                    return None
                turn = turns[chat_id] = _Turn(chat, chat.head_seq)
            right = self._right(turn.chat, user_id, session_id)
            if right is None:
                return None
            turn.head += 1
            turn.last = turn.spoke[user_id] = n
            seqs.append(turn.head)
            names.append(right.name)
        places = Places(seqs, names, *([None] * len(seqs) for _ in range(4)))  # type: ignore[arg-type]
        return places if all(_place_rows(turn, places) for turn in turns.values()) else None


NOWHERE = Marker(-1, -1)


def _place_rows(turn: _Turn, places: Places) -> bool:
    """False: the chat's floor would rise, or nobody is known to stay on it."""
    chat, leaving = turn.chat, 0
    for user_id, n in turn.spoke.items():
        marker = chat.markers.get(user_id, NOWHERE).seq
        if marker < chat.floor_seq:
            return False
        leaving += marker == chat.floor_seq
        places.markers[n] = marker
    if leaving and not any(
        marker.seq == chat.floor_seq and user_id not in turn.spoke for user_id, marker in chat.markers.items()
    ):
        return False
    places.befores[turn.last], places.floors[turn.last] = chat.head_seq, chat.floor_seq
    places.leaving[turn.last] = leaving
    return True
