"""The hub by arithmetic: who hears what, at which position. No loop, no socket, no database."""

from dataclasses import dataclass, field

import pytest

from messenger.log.entries import Entry, Run
from messenger.log.hub import Hub


@dataclass(eq=False)
class Ear:
    user_id: int
    session_id: int = 1
    heard: list[int] = field(default_factory=list)
    runs: list[list[int]] = field(default_factory=list)
    notes: list[bytes] = field(default_factory=list)
    is_over: bool = False

    def hear(self, entry: Entry) -> None:
        self.heard.append(entry.position)

    def hear_run(self, run: Run) -> None:
        self.runs.append([entry.position for entry in run.entries])
        self.heard += self.runs[-1]

    def hear_note(self, note: bytes) -> None:
        self.notes.append(note)

    def session_ended(self) -> None:
        self.is_over = True

    def log_restarted(self) -> None:
        self.is_over = True


def said(position: int, chat_id: int = 1, **more: object) -> Entry:
    return Entry(position, "new_message", chat_id, event=b"{}", **more)  # type: ignore[arg-type]


def added(position: int, user_id: int, chat_id: int = 1) -> Entry:
    return Entry(position, "member_added", chat_id, user_id=user_id, event=b"{}")


def removed(position: int, user_id: int, chat_id: int = 1) -> Entry:
    return Entry(position, "member_removed", chat_id, user_id=user_id, event=b"{}")


@pytest.fixture
def hub() -> Hub:
    return Hub()


def listening(hub: Hub, user_id: int, *chats: int, session_id: int = 1) -> Ear:
    ear = Ear(user_id, session_id)
    hub.attach(ear)
    hub.admit(ear, chats, hub.position)
    return ear


def test_members_hear_their_chats_and_strangers_nothing(hub):
    alice, bob, mallory = listening(hub, 1, 1), listening(hub, 2, 1, 2), listening(hub, 3, 2)

    hub.publish(said(1, chat_id=1))
    hub.publish(said(2, chat_id=2))

    assert (alice.heard, bob.heard, mallory.heard) == ([1], [1, 2], [2])


def test_who_has_the_answer_does_not_hear_the_event(hub):
    sending, other_device = listening(hub, 1, 1), listening(hub, 1, 1)

    hub.publish(said(1, skip=sending))

    assert (sending.heard, other_device.heard) == ([], [1])


def test_membership_begins_and_ends_at_its_position(hub):
    bob = listening(hub, 2)

    hub.publish(said(1))
    hub.publish(added(2, 2))
    hub.publish(said(3))
    hub.publish(removed(4, 2))
    hub.publish(said(5))

    assert bob.heard == [2, 3, 4]


def test_a_kick_between_reading_the_memberships_and_admitting_leaks_nothing(hub):
    bob = Ear(2)
    hub.attach(bob)
    hub.publish(removed(7, 2))

    hub.admit(bob, [1], as_of=6)  # the memberships were read just before the kick
    hub.publish(said(8))

    assert bob.heard == [7]


def test_a_kick_that_the_memberships_know_of_already_is_not_applied_to_a_later_return(hub):
    bob = Ear(2)
    hub.attach(bob)
    hub.publish(removed(7, 2))

    hub.admit(bob, [1], as_of=9)  # read after he was back
    hub.publish(said(10))

    assert bob.heard == [7, 10]


def test_an_audience_is_only_those_of_it_who_are_in_the_chat(hub):
    alice, bob, gone = listening(hub, 1, 1), listening(hub, 2, 1), listening(hub, 3, 2)

    hub.publish(said(1, data={"to": [1, 3]}))

    assert (alice.heard, bob.heard, gone.heard) == ([1], [], [])


def test_a_deleted_chat_is_heard_of_once_and_then_silent(hub):
    alice = listening(hub, 1, 1)

    hub.publish(Entry(1, "chat_deleted", 1, event=b"{}"))
    hub.publish(said(2))

    assert alice.heard == [1]


def test_an_ended_session_is_told_and_then_over_others_of_the_person_live_on(hub):
    phone, laptop = listening(hub, 1, 1, session_id=10), listening(hub, 1, 1, session_id=11)

    hub.publish(Entry(1, "session_revoked", user_id=1, subject_id=10, event=b"{}"))

    assert (phone.is_over, laptop.is_over) == (True, False)
    assert laptop.heard == [1]


def test_what_nobody_shows_is_silent_but_still_counts(hub):
    alice = listening(hub, 1, 1)

    hub.publish(Entry(5, "of_a_subapp_that_is_off", 1))

    assert (alice.heard, hub.position) == ([], 5)


def test_notes_go_to_the_others_in_the_chat(hub):
    alice, bob, mallory = listening(hub, 1, 1), listening(hub, 2, 1), listening(hub, 3)

    hub.note(1, b"typing", author=1)

    assert (alice.notes, bob.notes, mallory.notes) == ([], [b"typing"], [])


class Deaf(Ear):
    """Fails at whatever it hears."""

    def hear(self, entry: Entry) -> None:
        raise ValueError(entry)

    def hear_run(self, run: Run) -> None:
        raise ValueError(run)

    def hear_note(self, note: bytes) -> None:
        raise ValueError(note)


def test_a_listener_that_fails_is_over_and_the_others_hear_everything(hub, caplog):
    ears = [listening(hub, 1, 1), *(Deaf(user) for user in (2, 3)), listening(hub, 4, 1)]
    for deaf in ears[1:3]:
        hub.attach(deaf)
        hub.admit(deaf, [1], hub.position)

    hub.publish(said(1))
    hub.publish(said(2))

    assert [ear.heard for ear in ears] == [[1, 2], [], [], [1, 2]]
    assert [ear.is_over for ear in ears] == [False, True, True, False], "its client comes back with its cursor"
    assert {record.message for record in caplog.records} == {
        f"a listener failed user={user} position=1" for user in (2, 3)
    }
    assert set(hub.listeners()) == {ears[0], ears[3]}


class Dead(Deaf):
    """Cannot even be told that it is over."""

    def session_ended(self) -> None:
        raise ValueError

    def log_restarted(self) -> None:
        raise ValueError


@pytest.mark.parametrize("what", ["an entry", "the end of the session", "sessions that ran out", "another log"])
def test_a_listener_that_cannot_be_ended_keeps_nobody_from_being_told(hub, what):
    ears = [Dead(1), Ear(1), Dead(1), Ear(1)]
    for ear in ears:
        hub.attach(ear)
        hub.admit(ear, [1], hub.position)

    if what == "an entry":
        hub.publish(said(1))
    elif what == "another log":
        hub.restart(0)
    elif what == "sessions that ran out":
        hub.end_sessions({1})
    else:
        hub.publish(Entry(1, "session_revoked", user_id=1, subject_id=1))

    assert [ear.is_over or ear.heard == [1] for ear in ears] == [False, True, False, True]
    assert set(hub.listeners()) == {ears[1], ears[3]}


def test_a_run_is_one_call_and_its_senders_hear_the_messages_of_the_others(hub):
    alice, bob, carol, mallory = (listening(hub, user, 1) for user in (1, 2, 3, 4))
    hub.detach(mallory)

    hub.publish_run([said(1, skip=alice), said(2, skip=bob), said(3, skip=alice), said(4)])

    assert (carol.heard, carol.runs) == ([1, 2, 3, 4], [[1, 2, 3, 4]])
    assert (alice.heard, bob.heard, mallory.heard) == ([2, 4], [1, 3, 4], [])
    assert alice.runs == bob.runs == []
    assert hub.position == 4


def test_a_listener_that_fails_in_a_run_is_over_and_the_others_hear_it(hub):
    ears = [listening(hub, 1, 1), Deaf(2), Deaf(3), listening(hub, 4, 1)]
    for deaf in ears[1:3]:
        hub.attach(deaf)
        hub.admit(deaf, [1], hub.position)

    hub.publish_run([said(1), said(2, skip=ears[2])])

    assert [(ear.heard, ear.is_over) for ear in ears] == [([1, 2], False), ([], True), ([], True), ([1, 2], False)]
    assert set(hub.listeners()) == {ears[0], ears[3]}


def test_a_listener_that_cannot_take_a_note_is_over_and_the_others_take_it(hub):
    alice, deaf, bob = listening(hub, 1, 1), Deaf(2), listening(hub, 3, 1)
    hub.attach(deaf)
    hub.admit(deaf, [1], hub.position)

    hub.note(1, b"typing", author=9)

    assert (alice.notes, deaf.is_over, bob.notes) == ([b"typing"], True, [b"typing"])


def test_a_detached_listener_leaves_nothing_behind(hub):
    bob = listening(hub, 2, 1, 2, 3)

    hub.detach(bob)
    hub.publish(said(1))

    assert bob.heard == []
    assert hub.listeners() == ()
    assert not hub._in_chat and not hub._of_user and not hub._unadmitted
