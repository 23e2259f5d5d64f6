"""What memory may believe: pure, by arithmetic."""

from messenger.log.entries import Entry
from messenger.log.recent import Recent


def test_a_topic_is_last_heard_of_where_its_last_entry_stands():
    recent = Recent()
    recent.begin(10)

    recent.note(Entry(11, "new_message", chat_id=1))
    recent.note(Entry(12, "member_added", chat_id=2, user_id=1))
    recent.note(Entry(13, "new_message", chat_id=1))

    assert (recent.of_chat(1), recent.of_chat(2), recent.of_person(1)) == (13, 12, 12)
    assert recent.of_chat(3) == recent.of_person(2) == 10, "before the beginning anything may have happened"


def test_what_is_forgotten_is_never_taken_for_older_than_it_is():
    recent = Recent(most=10)
    recent.begin(0)
    last: dict[int, int] = {}
    for position in range(1, 500):
        chat = position * 7 % 100
        recent.note(Entry(position, "new_message", chat_id=chat))
        last[chat] = position

        assert all(recent.of_chat(known) >= at for known, at in last.items())

    assert len(recent._young) + len(recent._old) <= 22
    assert recent.of_chat(499 * 7 % 100) == 499


def test_a_new_beginning_forgets_everything():
    recent = Recent()
    recent.note(Entry(900, "new_message", chat_id=1))

    recent.begin(100)

    assert recent.of_chat(1) == 100


def test_an_entry_about_nothing_in_particular_may_have_changed_anything():
    recent = Recent()
    recent.note(Entry(1, "new_message", chat_id=1))

    recent.note(Entry(2, "changed_by_hand"))

    assert recent.of_chat(1) == recent.of_chat(9) == recent.of_person(1) == 2
