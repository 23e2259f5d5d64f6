"""Whom a batch may take for known: pure, by arithmetic."""

from collections.abc import Iterator
from itertools import count

import pytest

from messenger.log.entries import Entry
from messenger.log.known import HARMLESS, MOST_IN_CHAT, Known
from messenger.log.recent import Recent

LUNCH, ANN, BOB = 7, 1, 2
ANNS, BOBS = (LUNCH, ANN, 11), (LUNCH, BOB, 12)


class Log:
    """Notes entries as the tail does, in both memories."""

    def __init__(self, most: int = 100) -> None:
        self.recent = Recent()
        self.known = Known(self.recent, most)
        self.recent.begin(0)
        self.known.begin(0)
        self._next: Iterator[int] = count(1)

    def has(self, kind: str, chat: int | None = LUNCH, **rest: object) -> int:
        entry = Entry(next(self._next), kind, chat, **rest)  # type: ignore[arg-type]
        self.recent.note(entry)
        self.known.note(entry)
        return entry.position

    def says(self, seat: tuple[int, int, int], seq: int, floor: int | None, name: str = "ann") -> None:
        """A batch that the tables answered, and its entry."""
        at = self.has("new_message", seat[0], actor_id=seat[1])
        self.known.learn(seat, name, seq, floor, at)


@pytest.fixture
def log() -> Log:
    return Log()


def test_who_has_spoken_may_speak_again_with_the_next_number(log):
    log.says(ANNS, 5, floor=0)

    places = log.known.place([ANNS, ANNS])

    assert places is not None
    assert (places.seqs, places.names) == ([6, 7], ["ann", "ann"])
    assert (places.markers, places.befores) == ([None, 5], [None, 5]), "of the last ones only"
    assert (places.floors, places.leaving) == ([None, 0], [None, 0])


def test_a_batch_of_several_chats_has_the_rows_of_each(log):
    dinner = (8, BOB, 12)
    log.says(ANNS, 5, floor=0)
    log.says(dinner, 2, floor=1, name="bob")

    places = log.known.place([dinner, ANNS, dinner])

    assert places is not None
    assert places.seqs == [3, 6, 4]
    assert (places.befores, places.floors) == ([None, 5, 2], [None, 0, 1])


@pytest.mark.parametrize("seat", [(LUNCH, BOB, 12), (8, ANN, 11), (LUNCH, ANN, 99), (LUNCH, ANN, None)])
def test_nobody_is_known_on_another_seat(log, seat):
    log.says(ANNS, 5, floor=0)

    assert log.known.place([ANNS]) is not None
    assert log.known.place([ANNS, seat]) is None


def test_what_others_say_counts_on(log):
    log.says(ANNS, 5, floor=0)
    log.has("new_message", actor_id=BOB)
    log.has("new_message", 8, actor_id=BOB)

    places = log.known.place([ANNS])

    assert places is not None
    assert (places.seqs, places.markers, places.befores) == ([7], [5], [6])


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("member_removed", {"user_id": ANN}),
        ("member_removed", {"user_id": BOB}),
        ("member_added", {"user_id": BOB}),
        ("member_changed", {"subject_id": ANN}),
        ("chat_changed", {}),
        ("chat_deleted", {}),
        ("session_revoked", {"chat": None, "user_id": ANN, "subject_id": 11}),
        ("user_changed", {"chat": None, "user_id": ANN}),
        ("of another package", {"chat": None, "user_id": ANN}),
        ("of another package", {}),
        ("of another package", {"chat": None}),
    ],
)
def test_what_may_change_a_right_a_name_or_a_session_makes_it_forgotten(log, kind, about):
    log.says(ANNS, 5, floor=0)

    log.has(kind, **about)

    assert log.known.place([ANNS]) is None


@pytest.mark.parametrize("kind", sorted(set(HARMLESS) - {"new_message", "message_read", "message_read_by_all"}))
def test_edits_and_reactions_change_nothing_of_it(log, kind):
    log.says(ANNS, 5, floor=0)

    log.has(kind, actor_id=BOB)

    assert log.known.place([ANNS]) is not None


def test_what_was_learned_of_a_chat_is_no_news_of_it_when_its_entries_come_later(log):
    """Another process' entries lie before ours, and are read after our batch was answered."""
    log.says(ANNS, 5, floor=0)
    log.known.learn(ANNS, "ann", 9, 0, at=5)  # of these four entries, the last is ours
    for actor in (BOB, BOB, BOB, ANN):
        log.has("new_message", actor_id=actor)

    places = log.known.place([ANNS])

    assert places is not None and (places.seqs, places.markers) == ([10], [9])


def test_a_right_that_was_learned_before_a_change_came_to_be_known_is_void(log):
    log.known.learn(ANNS, "ann", 5, 0, at=1)
    log.known.learn(BOBS, "bob", 6, 0, at=3)
    log.has("new_message", actor_id=ANN)
    log.has("session_revoked", None, user_id=ANN)
    log.has("new_message", actor_id=BOB)

    assert log.known.place([ANNS]) is None
    assert log.known.place([BOBS]) is not None


def test_an_answer_that_is_older_than_what_was_heard_teaches_nothing(log):
    log.has("new_message", actor_id=ANN)
    log.has("member_removed", user_id=ANN)

    log.known.learn(ANNS, "ann", 5, 0, at=1)

    assert log.known.place([ANNS]) is None


def test_the_last_one_on_the_floor_is_left_to_the_tables(log):
    log.says(ANNS, 5, floor=5)
    assert log.known.place([ANNS]) is None, "the floor rises, or bob stands there unknown"

    log.has("message_read", data={"reads": [[BOB, 1, 5, 50]]})
    places = log.known.place([ANNS])
    assert places is not None and places.leaving == [1], "bob stays"

    log.says(BOBS, 6, floor=None, name="bob")
    assert log.known.place([BOBS, ANNS]) is None
    assert log.known.place([BOBS]) is not None, "above the floor"


def test_two_who_leave_the_floor_together_leave_nobody_there(log):
    log.says(ANNS, 5, floor=5)
    log.says(BOBS, 6, floor=5, name="bob")
    log.has("message_read", data={"reads": [[ANN, 6, 6, 60]]})
    log.has("message_read_by_all", data={"from_seq": 6, "to_seq": 6, "message_id": 60})

    assert log.known.place([ANNS]) is not None and log.known.place([BOBS]) is not None
    assert log.known.place([ANNS, BOBS]) is None


def test_a_floor_that_rose_above_a_marker_makes_it_unknown(log):
    log.says(ANNS, 5, floor=0)

    log.has("message_read_by_all", data={"from_seq": 1, "to_seq": 6, "message_id": 60})

    assert log.known.place([ANNS]) is None


def test_what_was_passed_over_may_have_changed_anything(log):
    log.says(ANNS, 5, floor=0)
    next(log._next)

    log.has("new_message", 8, actor_id=BOB)

    assert log.known.place([ANNS]) is None


def test_of_one_who_may_be_alone_the_tables_are_asked_where_the_floor_is(log):
    log.says(ANNS, 5, floor=5)

    log.has("new_message", actor_id=ANN)

    assert log.known.place([ANNS]) is None, "it rose without an entry, if nobody else is there"
    log.says(ANNS, 7, floor=7)
    assert log.known.place([ANNS]) is None


def test_a_new_beginning_forgets_everything(log):
    log.says(ANNS, 5, floor=0)

    log.known.begin(log.known.position)

    assert log.known.place([ANNS]) is None


def test_memory_is_bounded_and_what_is_used_stays():
    log = Log(most=100)
    log.says(ANNS, 5, floor=0)
    for chat in range(1000, 1500):
        log.says((chat, BOB, 12), 1, floor=0)
        assert log.known.place([ANNS]) is not None

    assert len(log.known._young) + len(log.known._old) <= 102
    assert log.known.place([(1000, BOB, 12)]) is None


def test_one_large_chat_is_bounded_too(log):
    for person in range(2 * MOST_IN_CHAT):
        log.says((LUNCH, person, None), person + 1, floor=0)

    chat = log.known._find(LUNCH)
    assert chat is not None
    assert len(chat.rights) <= MOST_IN_CHAT and len(chat.markers) <= MOST_IN_CHAT
