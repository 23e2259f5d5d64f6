"""What makes a figure void is found: a lost message, a doubled one, other bytes, another order, a missing row."""

import asyncio
from pathlib import Path

import pytest

from proof.bench import __main__ as bench
from proof.bench.load.dialects import DIALECTS
from proof.bench.load.groups import Group, Member, Speaker
from proof.bench.load.journal import judged
from proof.bench.load.plan import Part
from proof.bench.load.sends import Partner
from proof.bench.load.servers import Servers
from proof.bench.load.tally import Bins, Tally, settled
from proof.bench.report import tables
from proof.bench.report.goals import judge
from proof.bench.report.results import Results
from proof.lab import frames

RUN = b"0123abcd"
MESSENGER = DIALECTS["messenger"]
SPOKEN = pytest.mark.parametrize("spoken", ["messenger", "socket.io"])


def event(number: int, spoken: str = "messenger") -> bytes:
    said = b'"text":"no %08d of %b xxx","seq":%d' % (number, RUN, number)
    if spoken == "messenger":
        words = b'{"type":"new_message","cursor":"e.%d","message":{%b}}' % (number, said)
    else:
        words = b'42["new_message",{"message_id":"%d",%b,"sent_at":"some time or other"}]' % (number, said)
    return framed(words.ljust(frames.SHORT))


def framed(words: bytes) -> bytes:
    """As a server sends it."""
    size = len(words)
    return (bytes((0x81, size)) if size < frames.SHORT else b"\x81\x7e" + size.to_bytes(2, "big")) + words


@SPOKEN
def test_a_frame_in_pieces_is_heard_when_it_is_whole(spoken: str) -> None:
    whole = event(1, spoken) + event(2, spoken)
    for cut in range(1, len(whole)):
        partner = Partner(DIALECTS[spoken], Tally(), RUN)

        partner.data_received(whole[:cut])
        partner.data_received(whole[cut:])

        assert (partner.heard, partner.tally.faults) == (2, [])


@SPOKEN
@pytest.mark.parametrize("heard", [(1, 3), (1, 1), (2, 1)], ids=["lost", "doubled", "reordered"])
def test_a_partner_notices(spoken: str, heard: tuple[int, int]) -> None:
    partner = Partner(DIALECTS[spoken], Tally(), RUN)

    for number in heard:
        partner.data_received(event(number, spoken))

    assert partner.tally.faults


@pytest.mark.parametrize(
    ("spoken", "begins"),
    [
        ("messenger", b'{"type":"new_message","ref":"00000001","chat_id":"7","client_id":"0123abcd-00000001"'),
        ("socket.io", b'4200000001["new_message",{"chat_id":"7","client_id":"0123abcd-00000001"'),
    ],
)
def test_a_clients_frame_is_what_rfc_6455_wants(spoken: str, begins: bytes) -> None:
    frame = DIALECTS[spoken].template(7, RUN) % (1, 1, 1)

    length = int.from_bytes(frame[2:4], "big")
    assert frame[:2] == bytes((0x81, 0x80 | 126))
    assert frame[4:8] == bytes(4)
    assert len(frame) == 8 + length
    assert frame[8:].startswith(begins)
    assert frames.masked(b"hi") == b"\x81\x82\0\0\0\0hi"


class Written(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.bytes = b""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.bytes += data


@pytest.mark.parametrize(
    ("spoken", "ping", "pong"),
    [("messenger", b"\x89\x00", frames.EMPTY_PONG), ("socket.io", framed(b"2"), frames.masked(b"3"))],
)
async def test_a_heartbeat_is_answered_and_is_no_message(spoken: str, ping: bytes, pong: bytes) -> None:
    group = Group(DIALECTS[spoken], 7)
    for listener in (Partner(DIALECTS[spoken], Tally(), RUN), Member(group), Speaker(group)):
        listener.transport = Written()

        listener.data_received(ping)

        assert listener.transport.bytes == pong
    assert group.heard == 0


@pytest.fixture
async def group() -> Group:
    """Two listen, one speaks; three messages were sent and acknowledged."""
    group = Group(MESSENGER, 7)
    group.run = RUN
    group.members = [Member(group), Member(group)]
    group.speakers = [Speaker(group)]
    group.sent_at = [0.0, 0.0, 0.0]
    group.authors = [group.speakers[0]] * 3
    group.acked = 3
    return group


@pytest.mark.parametrize(
    "second",
    [(0, 1), (0, 1, 1, 2), (0, 2, 1), (0, 1, 2, 2)],
    ids=["lost at the end", "doubled", "reordered", "doubled at the end"],
)
async def test_a_group_notices_what_one_of_its_members_did_not_hear_as_the_others(
    group: Group, second: tuple[int, ...]
) -> None:
    for number in (0, 1, 2):
        group.members[0].data_received(event(number))
    for number in second:
        group.members[1].data_received(event(number))

    group.check()

    assert group.tally.faults


async def test_a_group_that_heard_everything_has_no_fault(group: Group) -> None:
    everything = b"".join(event(number) for number in (0, 1, 2))
    group.members[0].data_received(everything)
    for place in range(len(everything)):  # byte by byte: the slowest of all readers
        group.members[1].data_received(everything[place : place + 1])

    group.check()

    assert group.is_through()
    assert group.tally.faults == []


async def test_a_group_notices_what_reached_nobody(group: Group) -> None:
    for member in group.members:
        for number in (0, 1):
            member.data_received(event(number))

    group.check()

    assert not group.is_through()
    assert group.tally.faults


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        ([("c:a", 5, 1), ("c:b", 6, 2)], {}),
        ([("c:a", 5, 1)], {"lost": 1}),
        ([("c:a", 5, 1), ("c:b", 6, 2), ("c:b", 7, 3)], {"doubled": 1}),
        ([("c:a", 5, 1), ("c:b", 7, 2)], {"told_otherwise": 1}),
        ([("c:a", 5, 1), ("c:b", 6, 2), ("c:c", 7, 3)], {"never_acked": 1}),
    ],
)
def test_the_journal_finds(rows: list[tuple[str, int, int]], wrong: dict[str, int], tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.write_text("c:a 5 1\nc:b 6 2\n")

    found = judged(rows, journal)

    right = {"acked": 2, "lost": 0, "doubled": 0, "told_otherwise": 0, "never_acked": 0}
    assert found == {**right, **wrong}


def test_quantiles_of_many_latencies() -> None:
    bins = Bins()
    for thousandths in range(1, 101):
        bins.counts[thousandths * 100] += 1

    assert bins.quantile(0.5) == pytest.approx(0.050, abs=0.001)
    assert bins.quantile(0.99) == pytest.approx(0.099, abs=0.001)


def test_ratios_are_made_round_by_round_and_never_of_what_is_void() -> None:
    results = Results({})
    for mine, theirs, faults in ((20.0, 10.0, []), (90.0, 10.0, ["lost"]), (60.0, 30.0, [])):
        results.add("S1 2 senders: product", {"acked_per_s": mine, "void": faults})
        results.add("S1 2 senders: socket.io", {"acked_per_s": theirs, "void": []})

    [one] = [one for one in judge(results) if one.goal.says == "S1 acked/s at 2, of socket.io"]

    assert one.values == [2.0, 2.0]
    assert one.verdict(one.goal.bound) == "holds"
    assert one.verdict(2.1) == "missed"


def test_a_bin_that_is_too_late_is_not_lost() -> None:
    bins = Bins()

    bins.add(1000.0)

    assert bins.quantile(0.5) == pytest.approx(Bins.MOST / Bins.PER_SECOND, rel=0.01)


async def test_settling_gives_up() -> None:
    assert not await asyncio.wait_for(settled(lambda: False, patience=0.05), 5)


async def test_a_part_that_cannot_be_measured_is_named_and_the_others_are_not_lost(tmp_path: Path) -> None:
    async def breaks(servers: Servers) -> dict[str, object]:
        raise TimeoutError

    async def works(servers: Servers) -> dict[str, object]:
        return {"echoes_per_s": 5.0, "void": []}

    parts = [Part("S2", "group", "product", breaks, phases=("paced",)), Part("S1", "2 callers", "aiohttp echo", works)]
    given = bench.parser().parse_args(["--rounds", "1"])

    results = await bench.measured(given, parts, Servers(tmp_path, 0.1))

    assert results.voids() == ["S2 group, paced: product: could not be measured: TimeoutError"]
    assert results.median("S1 2 callers: aiohttp echo", "echoes_per_s") == 5.0
    assert "VOID" in "".join(tables.remarks(results))
