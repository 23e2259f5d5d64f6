"""A short torture of the real product, a longer one where time is no matter; and each clause finds a planted bug.

The bugs are planted in the stored record of such a run: the checkers are proven on what they are used on.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from proof.lab.processes import ROOT, clean_environment
from proof.torture.clauses import CLAUSES
from proof.torture.journal import (
    Ack,
    Asked,
    Ended,
    Gap,
    Marked,
    Membership,
    Opened,
    Page,
    Refusal,
    Said,
    Send,
    Shut,
    Stored,
    Told,
)
from proof.torture.ledger import Entry
from tests.proof.torture.record import Recorded

KINDS = {"kick", "lost doorbells", "logout", "kill server", "kill postgres", "kill worker", "cut line", "ambiguous",
         "kill redis"}  # fmt: skip
SHORT_SEED, FEW = 1361, {"kill worker", "kill postgres", "ambiguous"}
WITNESS = "witness by sse"


def run(folder: Path, **options: object) -> dict[str, Any]:
    """What the report says in the end."""
    flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "proof.torture", *flags, "--report", str(folder), "--minutes", "4"]
    environment = {**clean_environment(), "TMPDIR": os.environ.get("TMPDIR", str(folder))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found: dict[str, Any]
    (found,) = json.loads((folder / "report.json").read_text())
    assert [one["clause"] for one in found["verdicts"]] == [clause.name for clause in CLAUSES]
    page = (folder / "report.html").read_text()
    assert "every clause holds" in page and "<script" not in page and "http://" not in page
    return found


def test_three_faults_break_no_clause(tmp_path: Path) -> None:
    found = run(tmp_path, wire="postgres", seed=SHORT_SEED, faults=3, sends=300, ambiguous=50)

    assert (found["wire"], found["seed"], found["faults"]) == ("postgres", SHORT_SEED, dict.fromkeys(FEW, 1))
    assert found["acked"] >= 300
    assert (found["ambiguous"], found["ambiguous_replayed"]) == (50, 50)


@pytest.mark.long
def test_nine_faults_break_no_clause(tmp_path: Path) -> None:
    found = run(tmp_path, wire="redis", seed=40, faults=9, sends=1500, ambiguous=100)

    assert (found["wire"], found["seed"], found["faults"]) == ("redis", 40, dict.fromkeys(KINDS, 1))
    assert found["acked"] >= 1500
    assert (found["ambiguous"], found["ambiguous_replayed"]) == (100, 100)
    assert found["unknowns"] > 0 and found["dropped_doorbells"] > 0, "the faults hit somebody"


@pytest.fixture
def recorded() -> Recorded:
    return Recorded.stored()


def test_the_stored_record_breaks_no_clause(recorded: Recorded) -> None:
    assert {clause.name: recorded.findings(clause.name) for clause in CLAUSES} == {
        clause.name: [] for clause in CLAUSES
    }


# --- D1, D2, D5: what is stored


def test_a_lost_ack_is_found(recorded: Recorded) -> None:
    _, ack = recorded.first(Ack)
    recorded.ledger.messages.remove(recorded.row_of(ack))

    assert recorded.findings("D1")[:1] == [
        f"{recorded.sent(ack).key} was acknowledged as {ack.chat}/{ack.seq} and is not there"
    ]


def test_an_ack_for_other_words_than_are_stored_is_found(recorded: Recorded) -> None:
    _, ack = recorded.first(Ack, lambda ack: not recorded.row_of(ack).changed)
    recorded.change_row(recorded.row_of(ack), digest="0" * 16)

    findings = recorded.findings("D1")
    assert findings and all("with other words" in finding for finding in findings)


def test_a_refused_send_that_is_stored_is_found(recorded: Recorded) -> None:
    at, refusal = recorded.first(Refusal, lambda refusal: refusal.code == "bad-parameters")
    sent = recorded.first(Send, lambda sent: sent.ref == refusal.ref)[1]
    row = recorded.ledger.messages[0]
    recorded.change_row(row, chat=sent.chat, sender=sent.sender, key=sent.key, digest=sent.digest, changed=False)

    assert f"{sent.key} was refused and is stored as {sent.chat}/{row.seq}" in recorded.findings("D2")


def test_a_message_that_nobody_sent_is_found(recorded: Recorded) -> None:
    row = recorded.ledger.messages[-1]
    recorded.change_row(row, key="i:nobody")

    assert recorded.findings("D2") == [f"{row.chat}/{row.seq} is stored under i:nobody, which nobody sent"]


def test_a_doubled_row_is_found(recorded: Recorded) -> None:
    one, other = recorded.ledger.messages[:2]
    recorded.change_row(other, sender=one.sender, key=one.key)

    assert f"{one.key} of {one.sender} is stored 2 times in {one.chat}: [1, 2]" in recorded.findings("D5")


def test_a_repeat_that_is_answered_as_new_is_found(recorded: Recorded) -> None:
    _, stored = recorded.first(Stored)
    keys = set(stored.keys)
    at, ack = recorded.first(Ack, lambda ack: ack.replayed and recorded.sent(ack).key in keys)
    recorded.change(at, replayed=False)

    key = recorded.sent(ack).key
    assert recorded.findings("D5") == [
        f"{key} was there before it was sent again, and the answer does not say `replayed`"
    ]


def test_a_message_that_is_new_twice_is_found(recorded: Recorded) -> None:
    at, ack = recorded.first(Ack, lambda ack: not ack.replayed)
    recorded.records.append(ack)

    (finding,) = recorded.findings("D5")
    assert "acknowledged as new twice" in finding


def test_a_key_that_takes_other_words_is_found(recorded: Recorded) -> None:
    at, refusal = recorded.first(Refusal, lambda refusal: refusal.code == "idempotency-conflict")
    sent = recorded.first(Send, lambda sent: sent.ref == refusal.ref)[1]
    (row,) = (
        row for row in recorded.ledger.messages if (row.chat, row.sender, row.key) == (sent.chat, sent.sender, sent.key)
    )
    recorded.records[at] = Ack(refusal.at, refusal.ref, row.chat, row.seq, row.position, True)

    assert recorded.findings("D5") == [f"other words under {sent.key} were acknowledged as {row.chat}/{row.seq}"]
    assert recorded.findings("answers") == [f"{sent.key} was accepted although it was conflict"]


def test_a_conflict_of_a_message_with_itself_is_found(recorded: Recorded) -> None:
    at, ack = recorded.first(Ack, lambda ack: not recorded.sent(ack).flaw)
    recorded.records[at] = Refusal(ack.at, ack.ref, 409, "idempotency-conflict")

    assert recorded.findings("D5") == [f"{recorded.sent(ack).key} was refused as a conflict with its own words"]


# --- D3, D4: the order


def test_a_hole_in_the_numbers_of_a_chat_and_in_the_log_is_found(recorded: Recorded) -> None:
    gone = recorded.ledger.messages[5]
    recorded.ledger.messages.remove(gone)

    findings = recorded.findings("D3")
    assert any(f"the numbers of chat {gone.chat} are not" in one and f"missing [{gone.seq}]" in one for one in findings)
    assert any("the positions of the log are not" in one and f"missing [{gone.position}]" in one for one in findings)


def test_a_position_that_two_entries_share_is_found(recorded: Recorded) -> None:
    one = recorded.ledger.entries[-1]
    recorded.ledger.entries.append(Entry(one.position, "chat_changed", one.chat, 0, 0, None))

    (finding,) = recorded.findings("D3")
    assert f"twice [{one.position}]" in finding


def test_positions_that_run_against_the_numbers_are_found(recorded: Recorded) -> None:
    one, other = recorded.ledger.messages[:2]
    recorded.change_row(one, position=other.position)
    recorded.change_row(other, position=one.position)

    assert any(f"{one.chat}/2 has the position {one.position}, not above" in found for found in recorded.findings("D3"))


def test_two_readers_that_see_different_things_under_one_number_are_found(recorded: Recorded) -> None:
    at, said = recorded.heard_by(WITNESS)[7]
    recorded.change(at, sender=said.sender + 1)

    assert recorded.findings("D3") == [
        f"{WITNESS} saw {said.position} by {said.sender + 1} as {said.chat}/{said.seq}, which is another or none"
    ]


def test_a_number_that_is_filled_in_behind_a_reader_is_found(recorded: Recorded) -> None:
    at, page = recorded.first(Page, lambda page: page.reader and len(page.rows) > 2)
    recorded.change(at, rows=[*page.rows[:1], *page.rows[2:]])

    findings = recorded.findings("D3")
    seq = page.rows[1][0]
    assert findings == [f"{page.reader} found {page.chat}/{seq + 1} where {seq} had to come: it was filled in late"]


def pair_of_one_line(recorded: Recorded) -> tuple[Ack, Ack]:
    """Two messages of one chat that were under way together on one socket."""
    acks = {ack.ref: ack for _, ack in recorded.all(Ack, lambda ack: not ack.replayed)}
    before: dict[tuple[int, int], Send] = {}
    for _, sent in recorded.all(Send, lambda sent: sent.line and sent.ref in acks):
        one = before.get((sent.line, sent.chat))
        if one is not None and one.ref in acks:
            return acks[one.ref], acks[sent.ref]
        before[sent.line, sent.chat] = sent
    raise AssertionError("nobody had two messages under way")


def test_a_reordered_pair_is_found(recorded: Recorded) -> None:
    one, other = pair_of_one_line(recorded)
    first, second = recorded.sent(one), recorded.sent(other)
    recorded.swap(one, other)

    findings = recorded.findings("D4")
    assert (
        f"{second.key} was written after {first.key} on line {second.line} and is stored before it in {one.chat}"
        in findings
    )


def test_an_effect_before_its_cause_is_found(recorded: Recorded) -> None:
    at, one = recorded.first(Ack, lambda ack: not ack.replayed)
    known = {sent.ref for _, sent in list(recorded.all(Send))[:200]}
    _, other = recorded.first(
        Ack, lambda ack: ack.chat == one.chat and not ack.replayed and ack.seq > one.seq + 60 and ack.ref not in known
    )
    key = recorded.sent(other).key
    recorded.swap(one, other)

    assert any(one.startswith(f"{key} was first written when") for one in recorded.findings("D4"))


def test_an_ack_after_a_later_event_is_found(recorded: Recorded) -> None:
    at, ack = recorded.first(Ack, lambda ack: not ack.replayed and recorded.sent(ack).line)
    line = recorded.sent(ack).line
    recorded.records.insert(at, Said(ack.at, line, ack.position + 10**6, ack.chat, 10**6, 1, "", False))

    findings = recorded.findings("D4")
    assert f"line {line} got its ack of {ack.position} after the event {ack.position + 10**6} (line {at})" in findings


def test_an_event_that_the_sender_had_as_an_ack_is_found(recorded: Recorded) -> None:
    at, ack = recorded.first(Ack, lambda ack: not ack.replayed and recorded.sent(ack).line)
    sent = recorded.sent(ack)
    said = Said(ack.at, sent.line, ack.position, ack.chat, ack.seq, sent.sender, sent.digest, False)
    recorded.records.insert(at + 1, said)

    findings = recorded.findings("D4")
    assert f"line {sent.line} heard {ack.position} as an event and had it as an ack" in findings


# --- D6, D7: what is heard


def test_an_event_that_is_never_heard_is_found_and_so_is_the_silence_about_it(recorded: Recorded) -> None:
    heard = recorded.heard_by(WITNESS)
    at, said = heard[len(heard) // 2]
    del recorded.records[at]

    assert recorded.findings("D6") == [f"{WITNESS} missed 1 events of chat {said.chat}: [{said.position}]"]
    (finding,) = recorded.findings("D7")
    assert finding.startswith(f"{WITNESS} was told nothing of 1 events of chat {said.chat}")


def test_an_event_that_is_heard_twice_is_found(recorded: Recorded) -> None:
    at, said = recorded.heard_by(WITNESS)[3]
    recorded.records.insert(at + 1, said)

    (finding,) = recorded.findings("D6")
    assert finding.startswith(f"{WITNESS} heard {said.position} after {said.position}")


def test_two_events_in_the_wrong_order_are_found(recorded: Recorded) -> None:
    (one, first), (other, second) = next(
        pair for pair in pairwise(recorded.heard_by(WITNESS)) if pair[1][1].position == pair[0][1].position + 1
    )
    recorded.records[one], recorded.records[other] = second, first

    (finding,) = recorded.findings("D6")
    assert finding.startswith(f"{WITNESS} heard {first.position} after {second.position}")


def test_an_event_of_somebody_elses_chat_is_found(recorded: Recorded) -> None:
    _, door = recorded.first(Membership)
    at, told = recorded.first(Told, lambda told: told.kind == "chat_changed" and told.chat != door.chat)
    line = recorded.first(Opened, lambda opened: opened.listener == "guest by sse")[1].line
    recorded.records.append(Told(told.at, line, told.position, told.kind, told.chat))

    assert f"guest by sse heard what is not its own: [{told.position}]" in recorded.findings("D6")


def test_a_removal_that_its_person_does_not_hear_of_is_found(recorded: Recorded) -> None:
    lines = recorded.lines_of("guest by sse")
    at, told = recorded.first(Told, lambda told: told.kind == "member_removed" and told.line in lines)
    del recorded.records[at]

    assert recorded.findings("D6") == [f"guest by sse never heard that it was removed at {told.position}"]


@pytest.mark.parametrize("kind", ["resync", "limited"])
def test_a_gap_that_is_named_without_need_is_found(recorded: Recorded, kind: str) -> None:
    at, said = recorded.heard_by(WITNESS)[3]
    recorded.records.insert(at + 1, Gap(said.at, said.line, kind, said.position, said.chat, 1, 7))

    (finding,) = recorded.findings("D7")
    assert finding.startswith(f"{WITNESS} was told `{kind}`")


def test_a_named_gap_that_is_read_as_pages_is_no_finding_and_unread_it_is(recorded: Recorded) -> None:
    """The excuse of `limited` holds as long as its pages were read."""
    heard = recorded.heard_by(WITNESS)
    at, said = heard[len(heard) // 2]
    recorded.records[at] = Gap(said.at, said.line, "limited", said.position - 1, said.chat, said.seq, said.seq)
    assert recorded.findings("D6") == [f"{WITNESS} missed 1 events of chat {said.chat}: [{said.position}]"]

    user = recorded.lines_of(WITNESS)[said.line].user
    row = (said.seq, said.position, said.sender, said.digest, False)
    end = len(recorded.records)
    recorded.records.append(Page(said.at, end, "", user, 0, 0, said.chat, said.seq, 1, 200, [row]))
    assert recorded.findings("D6") == []


# --- D8 … D11: markers, sessions, members, pages


def test_an_answer_that_takes_a_marker_back_is_found(recorded: Recorded) -> None:
    *_, (at, marked) = recorded.all(Marked)
    recorded.change(at, read_seq=0)

    findings = recorded.findings("D8")
    assert any("was answered with 0" in one for one in findings)
    assert any("to 0" in one and one.startswith("the marker of") for one in findings)


def test_a_marker_that_ends_below_what_was_acknowledged_is_found(recorded: Recorded) -> None:
    _, marked = recorded.first(Marked)
    mark = recorded.history.marks[marked.ref][1]
    members = recorded.ledger.members
    place = next(n for n, one in enumerate(members) if (one.user, one.chat) == (mark.user, mark.chat))
    members[place] = type(members[place])(mark.chat, mark.user, 1)

    (finding,) = recorded.findings("D8")
    assert finding.endswith("and ended at 1")


def test_a_marker_that_is_seen_to_go_back_is_found(recorded: Recorded) -> None:
    at, told = recorded.first(Told, lambda told: told.reads)
    recorded.records.insert(at + 1, told)

    (finding,) = recorded.findings("D8")
    assert finding.startswith(f"line {told.line} saw the marker of {told.reads[0][0]}")


def test_a_send_that_is_accepted_after_the_end_of_its_session_is_found(recorded: Recorded) -> None:
    _, ended = recorded.first(Ended)
    tried = Counter(sent.key for _, sent in recorded.all(Send))
    sends = {sent.ref for _, sent in recorded.all(Send) if sent.session == ended.session and tried[sent.key] == 1}
    at, ack = recorded.first(Ack, lambda ack: ack.ref in sends)
    place, sent = recorded.first(Send, lambda sent: sent.ref == ack.ref)
    late = [recorded.records[place], recorded.records[at]]
    for gone in sorted((place, at), reverse=True):
        del recorded.records[gone]
    recorded.records += late

    assert recorded.findings("D9") == [
        f"{sent.key} was acknowledged to session {ended.session}, which had ended",
        f"{sent.key} is stored, and was sent by a session that had ended",
    ]


def test_an_event_for_a_session_that_has_ended_is_found(recorded: Recorded) -> None:
    _, ended = recorded.first(Ended)
    line = recorded.first(Send, lambda sent: sent.session == ended.session and sent.line)[1].line
    recorded.records.append(Said(0, line, recorded.ledger.head, 1, 1, 1, "", False))

    (finding,) = recorded.findings("D9")
    assert finding.startswith(f"line {line} heard {recorded.ledger.head}, its session ended at")


def test_a_socket_that_outlives_its_session_is_found(recorded: Recorded) -> None:
    _, ended = recorded.first(Ended)
    line = recorded.first(Send, lambda sent: sent.session == ended.session and sent.line)[1].line
    at, _ = recorded.first(Shut, lambda shut: shut.line == line)
    del recorded.records[at]

    assert recorded.findings("D9") == [f"line {line} stayed open although its session {ended.session} had ended"]


def test_an_answer_to_a_session_that_has_ended_is_found(recorded: Recorded) -> None:
    _, ended = recorded.first(Ended)
    at, asked = recorded.first(Asked, lambda asked: asked.session == ended.session and asked.what == "look")
    recorded.change(at, status=200)

    (finding,) = recorded.findings("D9")
    assert "was answered with 200 after its end" in finding


def test_an_event_after_a_kick_is_found(recorded: Recorded) -> None:
    lines = recorded.lines_of("guest by sse")
    at, told = recorded.first(Told, lambda told: told.kind == "member_removed" and told.line in lines)
    later = next(row for row in recorded.ledger.messages if row.chat == told.chat and row.position > told.position)
    said = Said(told.at, told.line, later.position, later.chat, later.seq, later.sender, later.digest, False)
    recorded.records.insert(at + 1, said)

    assert f"guest by sse heard {later.position} of {told.chat}, where it was no member" in recorded.findings("D10")


def test_a_page_after_a_kick_is_found(recorded: Recorded) -> None:
    told, removal = recorded.first(Membership, lambda one: not one.joins)
    at, page = recorded.first(Page, lambda page: (page.user, page.status) == (removal.user, 404) and page.since > told)
    later = next(row for row in reversed(recorded.ledger.messages) if row.chat == removal.chat)
    recorded.change(at, status=200, rows=[(later.seq, later.position, later.sender, later.digest, False)])

    findings = recorded.findings("D10")
    assert any("was shown to" in one and "after the answer to its removal" in one for one in findings)
    assert any(one.startswith(f"a page showed {later.position} of {removal.chat}") for one in findings)


def test_a_message_by_somebody_who_was_removed_is_found(recorded: Recorded) -> None:
    _, removal = recorded.first(Membership, lambda one: not one.joins)
    end = next(one.position for one in recorded.ledger.entries if one.kind == "member_removed")
    row = next(row for row in recorded.ledger.messages if row.chat == removal.chat and row.position > end)
    recorded.change_row(row, sender=removal.user)

    assert recorded.findings("D10") == [f"{row.chat}/{row.seq} is by {removal.user}, who was no member then"]


def test_a_page_without_what_was_acknowledged_before_is_found(recorded: Recorded) -> None:
    at, page = recorded.first(Page, lambda page: page.limit == 1 and page.status == 200 and page.rows)
    recorded.change(at, rows=[])

    (finding,) = recorded.findings("D11")
    assert finding.startswith(f"a page of {page.chat} ends at {page.first - 1} although {page.first} was known")


def test_a_500_and_a_refusal_without_a_reason_are_found(recorded: Recorded) -> None:
    at, ack = recorded.first(Ack, lambda ack: not recorded.sent(ack).flaw)
    recorded.records[at] = Refusal(ack.at, ack.ref, 404, "chat-not-found")
    place, asked = recorded.first(Asked, lambda asked: asked.what == "react")
    recorded.change(place, status=500)

    assert recorded.findings("answers") == [
        f"{recorded.sent(ack).key} was refused without a reason: 404 chat-not-found",
        f"react was answered with 500 (line {place})",
    ]
