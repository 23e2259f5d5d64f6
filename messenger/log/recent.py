"""The last position of each chat and person, to decide whether what is remembered still holds. Pure, and bounded.

What was read at a position holds as long as nothing later is noted about its chat or person.
"""

from messenger.log.entries import Entry

MOST = 50_000


class Recent:
    """Two generations: when the young one is full, the old one is dropped. For what is in neither a bound is known."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}
        self._floor = 0  # what is not noted has not changed after this
        self._turned_at = 0

    def begin(self, position: int) -> None:
        """From here on everything is noted; nothing before is known."""
        self._young, self._old = {}, {}
        self._floor = self._turned_at = position

    def note(self, entry: Entry) -> None:
        """An entry about nothing in particular may have changed anything."""
        if entry.chat_id is None and entry.user_id is None:
            self.begin(entry.position)
        if entry.chat_id is not None:
            self._young[entry.chat_id] = entry.position
        if entry.user_id is not None:
            self._young[-entry.user_id] = entry.position
        if len(self._young) > self._most:
            self._young, self._old = {}, self._young
            self._floor, self._turned_at = self._turned_at, entry.position

    def of_chat(self, chat_id: int) -> int:
        """Nothing happened in this chat after the answer."""
        return self._young.get(chat_id) or self._old.get(chat_id) or self._floor

    def of_person(self, user_id: int) -> int:
        return self.of_chat(-user_id)
