"""A long run at half load: pairs and a group at a pace, minute by minute, with a journal of what was acknowledged.

Pairs and group together: each at a quarter of what it reached alone, so that the server is half busy.
"""

import asyncio
import secrets
import sys
from collections import deque
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

from proof.bench.load import meter
from proof.bench.load.dialects import DIALECTS
from proof.bench.load.groups import Group, Member, Speaker, keep_pace
from proof.bench.load.meter import Meter
from proof.bench.load.sends import Partner
from proof.bench.load.sockets import Socket, open_all
from proof.bench.load.tally import Bins, Tally, settled

DIALECT = DIALECTS["messenger"]
MESSAGE_ID, SEQ = b'"message_id":"', b'"seq":'


class Journal:
    """What was acknowledged: key, message and number, line by line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.acked = 0

    def ack(self, key: str, data: bytes, start: int, end: int) -> None:
        at = data.find(MESSAGE_ID, start, end) + len(MESSAGE_ID)
        message_id = data[at : data.find(b'"', at)].decode()
        at = data.find(SEQ, start, end) + len(SEQ)
        self._file.write(f"{key} {message_id} {data[at : data.find(b',', at)].decode()}\n")
        self.acked += 1


class Pacing:
    """What all senders of the pairs share."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.bins = Bins()
        self.tally = Tally(is_counting=True)


class PacedSender(Socket):
    """Several may be under way; they are acknowledged in their order."""

    def __init__(self, pacing: Pacing, chat_id: int) -> None:
        super().__init__(DIALECT)
        # A run of its own: keys are unique without a look at who else sends.
        self.run = secrets.token_hex(4).encode()
        self._pacing = pacing
        self._template = DIALECT.template(chat_id, self.run)
        self._under_way: deque[tuple[int, float]] = deque()
        self.sent = self.acked = 0

    def send(self, due: float) -> None:
        self.sent += 1
        self._under_way.append((self.sent, due))
        self.transport.write(self._template % (self.sent, self.sent, self.sent))

    def hear(self, data: bytes, start: int, end: int) -> None:
        if data.startswith(DIALECT.ack, start):
            number, due = self._under_way.popleft()
            self._pacing.bins.add(perf_counter() - due)
            self._pacing.journal.ack(f"c:{self.run.decode()}-{number:08d}", data, start, end)
            self.acked += 1
        elif data.startswith(DIALECT.error, start):
            self._pacing.tally.fault(data[start:end].decode())


class JournalledSpeaker(Speaker):
    def __init__(self, group: Group, journal: Journal) -> None:
        super().__init__(group)
        self._journal = journal
        self._under_way: deque[int] = deque()

    def send(self, at: float) -> None:
        self._under_way.append(len(self.group.sent_at))
        super().send(at)

    def hear(self, data: bytes, start: int, end: int) -> None:
        if data.startswith(DIALECT.ack, start):
            number = self._under_way.popleft()
            self._journal.ack(f"c:{self.group.run.decode()}-{number:08d}", data, start, end)
        super().hear(data, start, end)


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    with Path(spec["journal"]).open("w") as file:
        return await _measure(spec, Journal(file))


async def _measure(spec: dict[str, Any], journal: Journal) -> dict[str, Any]:
    pairs, speakers = spec["pairs"], spec["speakers"]
    pacing, group = Pacing(journal), Group(DIALECT, spec["chat_id"])
    group.tally.is_counting = True
    senders = await open_all(
        spec, [one["sender"] for one in pairs], lambda number: PacedSender(pacing, pairs[number]["chat_id"])
    )
    partners = await open_all(
        spec, [one["partner"] for one in pairs], lambda number: Partner(DIALECT, pacing.tally, senders[number].run)
    )
    group.members = await open_all(spec, spec["tokens"][speakers:], lambda number: Member(group))
    group.speakers = list(
        await open_all(spec, spec["tokens"][:speakers], lambda number: JournalledSpeaker(group, journal))
    )
    await asyncio.sleep(spec["settle"])
    work = [
        asyncio.create_task(keep_pace(senders, spec["sends_per_s"])),
        asyncio.create_task(keep_pace(group.speakers, spec["said_per_s"])),
    ]
    await asyncio.sleep(spec["warm"])
    minutes = [await one_minute(spec, pacing, group) for _ in range(spec["minutes"])]
    for task in work:
        task.cancel()
    await asyncio.wait(work)
    if not await settled(group.is_through):
        group.tally.fault("not everything in the group reached everybody")
    if not await settled(lambda: all(one.sent == one.acked for one in senders)):
        pacing.tally.fault("sends were not acknowledged")
    if not await settled(lambda: sum(one.acked for one in senders) == sum(one.heard for one in partners)):
        pacing.tally.fault("not everything reached its partner")
    group.check()
    for sender, partner in zip(senders, partners, strict=True):
        if sender.acked != partner.heard or sender.is_lost or partner.is_lost:
            pacing.tally.fault(f"one pair: {sender.acked} acknowledged, {partner.heard} heard")
    for socket in (*senders, *partners, *group.members, *group.speakers):
        socket.transport.abort()
    return {
        "minutes": minutes,
        "acked": journal.acked,
        "delivered": sum(one.heard for one in partners) + group.heard,
        "void": [*pacing.tally.faults, *group.tally.faults],
    }


async def one_minute(spec: dict[str, Any], pacing: Pacing, group: Group) -> dict[str, Any]:
    pacing.bins, group.bins = Bins(), Bins()
    acked = pacing.journal.acked
    counted = Meter(spec["families"])
    await asyncio.sleep(spec["seconds"])
    used = counted.read()
    found = {
        "acked_per_s": (pacing.journal.acked - acked) / used.seconds,
        "sends_p50_ms": pacing.bins.quantile(0.5) * 1e3,
        "sends_p99_ms": pacing.bins.quantile(0.99) * 1e3,
        "group_p50_ms": group.bins.quantile(0.5) * 1e3,
        "group_p99_ms": group.bins.quantile(0.99) * 1e3,
        "memory_mib": {name: meter.memory(roots) / 2**20 for name, roots in spec["families"].items()},
        "cpu_share": {name: one / used.seconds for name, one in used.families.items()},
        "tool_share": used.tool,
        "others_share": used.others,
    }
    print({name: round(one, 2) for name, one in found.items() if isinstance(one, float)}, file=sys.stderr, flush=True)
    return found
