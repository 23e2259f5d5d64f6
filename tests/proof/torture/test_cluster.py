"""What is judged of three machines: each finding is planted, and what is fine is not found."""

from pathlib import Path
from typing import Any

import pytest

from proof.torture.cluster.judgement import SECOND, Summary, summarize
from proof.torture.cluster.run import Record
from proof.torture.cluster.scene import Probe
from proof.torture.history import History
from proof.torture.journal import Ack, Gap, Opened, Refusal, Said, Send, Shut, Struck, Unknown
from proof.torture.ledger import Entry, Ledger, Message

CHAT, SENDER, LISTENER = 1, 7, 8
FAULT = 10 * SECOND


def send(ref: int, at: float) -> Send:
    return Send(int(at * SECOND), ref, 0, 0, 0, SENDER, CHAT, f"k{ref}", f"d{ref}")


def ack(ref: int, at: float) -> Ack:
    return Ack(int(at * SECOND), ref, CHAT, ref, 10 + ref, False)


def heard(ref: int, at: float) -> Said:
    return Said(int(at * SECOND), 99, 10 + ref, CHAT, ref, SENDER, f"d{ref}", False)


def stored(*refs: int) -> list[Message]:
    return [Message(CHAT, ref, 10 + ref, SENDER, f"k{ref}", f"d{ref}", False) for ref in refs]


RECORDS: list[Any] = [
    Opened(0, 99, "listener", "socket", 0, LISTENER, 0, 10),
    send(1, 9.9), ack(1, 9.95), heard(1, 9.96),
    Struck(FAULT, 1, "kill primary", 0),
    send(2, 10.1), Unknown(int(11.2 * SECOND), 2, "503"),
    send(3, 11.3), ack(3, 13.95), heard(3, 13.96), send(4, 14), ack(4, 14.1), heard(4, 14.2),
    Shut(15 * SECOND, 99, "left"),
]  # fmt: skip


def judged(records: list[Any], messages: list[Message] | None = None, **differently: Any) -> Summary:
    record = Record(
        **{"mode": "asynchronous", "rate": 1, "seed": 1, "folder": Path(), "promotions": 1, "epochs": 2, **differently}
    )
    members = [Entry(number, "member_added", CHAT, user, 0, None) for number, user in ((9, SENDER), (10, LISTENER))]
    ledger = Ledger(14, stored(1, 3, 4) if messages is None else messages, members, [])
    return summarize(record, History(sorted(records, key=lambda one: one.at), ledger), "test")


def broken(found: Summary) -> set[str]:
    return {one.clause for one in found.verdicts if not one.holds}


def test_a_run_in_which_all_is_well_holds_and_its_figures_are_those_of_the_journal() -> None:
    found = judged(RECORDS)

    assert (found.holds, found.lost, broken(found)) == (True, 0, set())
    (fault,) = found.faults
    assert (fault.silence, fault.acked, fault.unavailable, fault.late) == (4.0, 2, 1, 0)
    assert fault.longest_wait == 2.65
    assert not fault.is_over_goal


def test_a_silence_beyond_the_goal_and_a_late_answer_are_named() -> None:
    later = [send(5, 20), Unknown(int(21.3 * SECOND), 5, "503"), send(6, 22), ack(6, 22.1)]

    (fault,) = judged([*RECORDS, *later], stored(1, 3, 4, 6)).faults

    assert (fault.silence, fault.is_over_goal, fault.late) == (8.0, True, 1)


def test_an_ack_that_is_gone_is_counted_and_who_heard_it_has_to_be_told() -> None:
    gone = judged(RECORDS, stored(1, 4))
    told = judged([*RECORDS, Gap(int(14.5 * SECOND), 99, "resync", 14)], stored(1, 4))
    others_words = judged(RECORDS, [*stored(1, 4), Message(CHAT, 3, 13, SENDER, "k3", "other", False)])

    assert (gone.lost, broken(gone)) == (1, {"resync"})
    assert (told.lost, broken(told)) == (1, set())
    assert (others_words.lost, broken(others_words)) == (1, {"resync"})


@pytest.mark.parametrize(
    ("clause", "differently"),
    [
        ("fsck", {"damage": "a hole"}),
        ("epochs", {"epochs": 3}),
        ("commits", {"cancelled": ["canceling wait for synchronous replication due to user request"]}),
        ("processes", {"restarted": True}),
        ("alone", {"alone": [(int(13.4 * SECOND), int(13.96 * SECOND))]}),
        ("ready", {"probes": [Probe(1, int(11.1 * SECOND), int(11.2 * SECOND), 200)]}),
    ],
)
def test_each_promise_of_the_machines_can_be_broken(clause: str, differently: dict[str, Any]) -> None:
    assert broken(judged(RECORDS, **differently)) == {clause}


def test_who_is_ready_before_or_after_nobody_led_is_not_blamed() -> None:
    fine = [Probe(0, at, at + 1, 200) for at in (int(10.5 * SECOND), int(13.9 * SECOND), 15 * SECOND)]

    assert judged(RECORDS, probes=[*fine, Probe(0, 11 * SECOND + 1, 11 * SECOND + 2, 503)]).holds


def test_an_internal_error_breaks_the_answers() -> None:
    assert broken(judged([*RECORDS, send(5, 14), Refusal(int(14.2 * SECOND), 5, 500, "internal")])) == {"answers"}


def test_where_commits_wait_the_clauses_are_judged() -> None:
    assert "D1" in broken(judged(RECORDS, stored(1, 4), mode="quorum"))
