"""The listeners of this process, and which of them hears which entry. Pure: no clock, no socket, no database.

Entries come in position order, so joining and leaving are ordered too: from `member_added` on a person's listeners hear
the chat, `member_removed` and `chat_deleted` are the last they hear of it, `session_revoked` ends the listeners of that
session.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence

from messenger.log.entries import Entry, Listener, Run

log = logging.getLogger(__name__)


class Hub:
    def __init__(self) -> None:
        self.position = 0  # everything up to here is published
        self._of_user: dict[int, tuple[Listener, ...]] = {}  # a tuple: a person has few
        self._in_chat: defaultdict[int, set[Listener]] = defaultdict(set)
        self._chats_of: dict[Listener, set[int]] = {}
        self._unadmitted: dict[Listener, list[tuple[int, int, bool]]] = {}

    def attach(self, listener: Listener) -> None:
        """From now on it hears what concerns its person; chats follow with `admit`."""
        self._of_user[listener.user_id] = (*self._others(listener), listener)
        self._chats_of[listener] = set()
        self._unadmitted[listener] = []

    def admit(self, listener: Listener, chats: Iterable[int], as_of: int) -> None:
        """The memberships at a position; changes published since are applied on top."""
        if listener not in self._chats_of:
            return
        for chat_id in chats:
            self._join(listener, chat_id)
        for position, chat_id, joined in self._unadmitted.pop(listener, ()):
            if position > as_of:
                (self._join if joined else self._leave)(listener, chat_id)

    def detach(self, listener: Listener) -> None:
        for chat_id in self._chats_of.pop(listener, ()):
            self._discard(self._in_chat, chat_id, listener)
        self._unadmitted.pop(listener, None)
        if others := self._others(listener):
            self._of_user[listener.user_id] = others
        else:
            self._of_user.pop(listener.user_id, None)

    def publish(self, entry: Entry) -> None:
        self.position = entry.position
        if entry.kind == "member_added":
            self._change(entry, joined=True)
        if entry.event:
            for listener in self._listeners(entry):
                if listener is not entry.skip:
                    try:
                        listener.hear(entry)
                    except Exception:
                        self._end(listener)
        if entry.kind == "member_removed":
            self._change(entry, joined=False)
        elif entry.kind == "chat_deleted" and entry.chat_id is not None:
            for listener in tuple(self._in_chat.get(entry.chat_id, ())):
                self._leave(listener, entry.chat_id)
        elif entry.kind == "session_revoked" and entry.user_id is not None:
            for listener in self._of_user.get(entry.user_id, ()):
                if listener.session_id == entry.subject_id:
                    self._tell(listener, listener.session_ended)

    def publish_run(self, entries: Sequence[Entry]) -> None:
        """New messages of one chat, one after the other. Whoever sent one of them hears the others."""
        self.position = entries[-1].position
        assert entries[0].chat_id is not None
        senders = {entry.skip for entry in entries}
        run = Run(entries)
        for listener in tuple(self._in_chat.get(entries[0].chat_id, ())):
            try:
                if listener not in senders:
                    listener.hear_run(run)
                else:
                    for entry in entries:
                        if entry.skip is not listener:
                            listener.hear(entry)
            except Exception:
                self._end(listener)

    def restart(self, position: int) -> None:
        """The log continues from an earlier position: every client resumes with its cursor."""
        self.position = position
        for listener in self.listeners():
            self._tell(listener, listener.log_restarted)

    def note(self, chat_id: int, note: bytes, author: int) -> None:
        """An event without a position (typing, presence), for the others in the chat."""
        for listener in tuple(self._in_chat.get(chat_id, ())):
            if listener.user_id != author:
                try:
                    listener.hear_note(note)
                except Exception:
                    self._end(listener)

    def is_heard(self, entry: Entry) -> bool:
        """May a listener here hear it? One not yet admitted may be in any chat."""
        if self._unadmitted or (entry.user_id is not None and entry.user_id in self._of_user):
            return True
        return entry.chat_id is not None and entry.chat_id in self._in_chat

    def is_listening(self, listener: Listener, chat_id: int) -> bool:
        return chat_id in self._chats_of.get(listener, ())

    def chats_of_user(self, user_id: int) -> set[int]:
        return {chat for listener in self._of_user.get(user_id, ()) for chat in self._chats_of[listener]}

    def sessions(self) -> set[int]:
        """Of all listeners."""
        return {listener.session_id for listener in self._chats_of}

    def end_sessions(self, ended: Collection[int]) -> None:
        for listener in self.listeners():
            if listener.session_id in ended:
                self._tell(listener, listener.session_ended)

    def listeners(self) -> tuple[Listener, ...]:
        return tuple(self._chats_of)

    def _end(self, listener: Listener) -> None:
        """After a failure: its client resumes with its cursor, and the others go on."""
        log.exception("a listener failed user=%s position=%s", listener.user_id, self.position)
        self.detach(listener)
        self._tell(listener, listener.log_restarted)

    def _tell(self, listener: Listener, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception:
            log.exception("a listener could not be ended user=%s", listener.user_id)
            self.detach(listener)

    def _others(self, listener: Listener) -> tuple[Listener, ...]:
        return tuple(one for one in self._of_user.get(listener.user_id, ()) if one is not listener)

    def _listeners(self, entry: Entry) -> Iterable[Listener]:
        in_chat = self._in_chat.get(entry.chat_id, set()) if entry.chat_id is not None else set()
        audience = entry.audience
        if audience is not None:
            return [one for user in audience for one in self._of_user.get(user, ()) if one in in_chat]
        if entry.user_id is None:
            return tuple(in_chat)
        return in_chat.union(self._of_user.get(entry.user_id, ()))

    def _change(self, entry: Entry, *, joined: bool) -> None:
        if entry.chat_id is None or entry.user_id is None:
            return
        for listener in self._of_user.get(entry.user_id, ()):
            if listener in self._unadmitted:
                self._unadmitted[listener].append((entry.position, entry.chat_id, joined))
            (self._join if joined else self._leave)(listener, entry.chat_id)

    def _join(self, listener: Listener, chat_id: int) -> None:
        self._chats_of[listener].add(chat_id)
        self._in_chat[chat_id].add(listener)

    def _leave(self, listener: Listener, chat_id: int) -> None:
        self._chats_of[listener].discard(chat_id)
        self._discard(self._in_chat, chat_id, listener)

    @staticmethod
    def _discard(topics: defaultdict[int, set[Listener]], key: int, listener: Listener) -> None:
        topics[key].discard(listener)
        if not topics[key]:
            del topics[key]
