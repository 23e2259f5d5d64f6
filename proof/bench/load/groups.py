"""S2: one group, everybody online. Four members send: as fast as they are acknowledged, or at a pace.

The first member to hear a message keeps its bytes, and everybody else must hear the same bytes in the same order:
comparing is as strict as parsing and costs a tenth. A message that did not reach every member makes the figure void.
"""

import asyncio
import secrets
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Protocol

from proof.bench.load.dialects import DIALECTS, TEXT_BYTES, Dialect
from proof.bench.load.sockets import Socket, open_all
from proof.bench.load.tally import Bins, Tally, figures_of, settled
from proof.lab import frames

FORGET_EVERY = 4096


class Group:
    """What was said, in the order in which it was heard."""

    def __init__(self, dialect: Dialect, chat_id: int) -> None:
        self.dialect = dialect
        self.run = secrets.token_hex(4).encode()
        self.template = dialect.template(chat_id, self.run)
        self.text = b'"text":"no '
        self.tally = Tally()
        self.bins = Bins()
        self.sent_at: list[float] = []  # by number, from 0
        self.authors: list[Speaker] = []
        self.frames: list[bytes] = []  # by the order of the log
        self.order: list[int] = []  # their numbers
        self.times: list[float] = []
        self.acked = 0
        self.members: list[Member] = []
        self.speakers: list[Speaker] = []
        self.loops = False

    def number_of(self, data: bytes, start: int, end: int) -> int:
        at = data.find(self.text, start, end) + len(self.text)
        return int(data[at : at + 8])

    def keep(self, frame: bytes, number: int) -> None:
        self.frames.append(frame)
        self.order.append(number)
        self.times.append(self.sent_at[number])
        if len(self.frames) % FORGET_EVERY == 0:
            passed = min(member.heard for member in self.members)
            for place in range(passed - 1, -1, -1):
                if not self.frames[place]:
                    break
                self.frames[place] = b""

    @property
    def heard(self) -> int:
        return sum(member.heard for member in self.members) + sum(len(one.numbers) for one in self.speakers)

    def is_through(self) -> bool:
        """All that was sent is acknowledged, and has reached everybody who did not send it."""
        said = len(self.sent_at)
        return self.acked == said and self.heard == said * (len(self.members) + len(self.speakers) - 1)

    def check(self) -> None:
        said = len(self.sent_at)
        if self.acked != said:
            self.tally.fault(f"{said} sent, {self.acked} acknowledged")
        if len(self.order) != said or len(set(self.order)) != said:
            self.tally.fault(f"{said} sent, {len(set(self.order))} different ones heard in {len(self.order)}")
        for member in self.members:
            if member.heard != said:
                self.tally.fault(f"{said} sent, a member heard {member.heard}")
        for speaker in self.speakers:
            if speaker.numbers != [number for number in self.order if self.authors[number] is not speaker]:
                self.tally.fault("a speaker did not hear the others as the members did")
        for socket in (*self.members, *self.speakers):
            if socket.is_lost:
                self.tally.fault("a socket was lost")


class Member(Socket):
    def __init__(self, group: Group) -> None:
        super().__init__(group.dialect)
        self.group = group
        self.heard = 0

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data, self.rest = self.rest + data, b""
        group = self.group
        known, place, at, size = group.frames, self.heard, 0, len(data)
        now = perf_counter()
        is_counting, counts, times = group.tally.is_counting, group.bins.counts, group.times
        while at < size:
            if place < len(known) and data.startswith(known[place], at):
                at += len(known[place])
            else:
                span = frames.payload(data, at)
                if span is None:
                    self.rest = data[at:]
                    break
                is_message = self._is_next(data, at, place, *span)
                at = span[1]
                if not is_message:
                    continue
            if is_counting:
                try:  # written out: a call for each delivery would be a tenth of the generator's time
                    counts[int((now - times[place]) * Bins.PER_SECOND)] += 1
                except IndexError:
                    counts[-1] += 1
            place += 1
        self.heard = place

    def _is_next(self, data: bytes, at: int, place: int, start: int, end: int) -> bool:
        group = self.group
        if self.is_ping(data, at, start, end) or not data.startswith(self.dialect.new_message, start):
            return False
        if place < len(group.frames):
            group.tally.fault(f"other bytes than its neighbour heard: {data[start:end].decode()}")
            return False
        group.keep(data[at:end], group.number_of(data, start, end))
        return True


class Speaker(Socket):
    """Hears the others, and an answer to what it sends itself."""

    def __init__(self, group: Group) -> None:
        super().__init__(group.dialect)
        self.group = group
        self.numbers: list[int] = []

    def send(self, at: float) -> None:
        """`at`: when it should have been sent; a late generator must not make the server look quick."""
        group = self.group
        number = len(group.sent_at)
        group.sent_at.append(at)
        group.authors.append(self)
        self.transport.write(group.template % (number, number, number))

    def hear(self, data: bytes, start: int, end: int) -> None:
        group, now = self.group, perf_counter()
        if data.startswith(self.dialect.new_message, start):
            number = group.number_of(data, start, end)
            self.numbers.append(number)
            if group.tally.is_counting:
                group.bins.add(now - group.sent_at[number])
        elif data.startswith(self.dialect.ack, start):
            group.acked += 1
            if group.loops:
                self.send(now)
        elif data.startswith(self.dialect.error, start):
            group.tally.fault(data[start:end].decode())


class Sends(Protocol):
    def send(self, at: float) -> None: ...


async def keep_pace(senders: Sequence[Sends], per_second: float) -> None:
    """In turn. Each is told when it was due, so that a generator that is late does not flatter the server."""
    began, number = perf_counter(), 0
    while True:
        due = began + number / per_second
        if (early := due - perf_counter()) > 0:
            await asyncio.sleep(early)
        senders[number % len(senders)].send(due)
        number += 1


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    group = Group(DIALECTS[spec["dialect"]], spec["chat_id"])
    tokens, speakers = spec["tokens"], spec["speakers"]
    group.members = await open_all(spec, tokens[speakers:], lambda number: Member(group))
    group.speakers = await open_all(spec, tokens[:speakers], lambda number: Speaker(group))
    await asyncio.sleep(spec["settle"])
    found = {phase: await one_phase(group, spec, pace) for phase, pace in spec["phases"].items()}
    for socket in (*group.members, *group.speakers):
        socket.transport.abort()
    return {**found, "acked": group.acked, "void": []}


async def one_phase(group: Group, spec: dict[str, Any], per_second: float | None) -> dict[str, Any]:
    group.bins = Bins()
    group.tally.faults.clear()
    group.loops = per_second is None
    pacing = None
    if per_second is None:
        for speaker in group.speakers:
            speaker.send(perf_counter())
    else:
        pacing = asyncio.create_task(keep_pace(group.speakers, per_second))
    marks: list[tuple[int, int]] = []
    used = await group.tally.count(spec, lambda: marks.append((group.acked, group.heard)))
    group.loops = False
    if pacing is not None:
        pacing.cancel()
        await asyncio.wait([pacing])
    if not await settled(group.is_through):
        group.tally.fault("not everything reached everybody")
    group.check()
    (acked_before, heard_before), (acked_after, heard_after) = marks
    sends, deliveries = acked_after - acked_before, heard_after - heard_before
    return {
        **figures_of(group.tally, used, group.bins),
        "members": len(group.members) + len(group.speakers),
        "text_bytes": TEXT_BYTES,
        "sends": sends,
        "acked_per_s": sends / used.seconds,
        "deliveries": deliveries,
        "delivered_per_s": deliveries / used.seconds,
        "cpu_us_per_delivery": {name: 1e6 * one / max(deliveries, 1) for name, one in used.families.items()},
        "cpu_s_per_1000": {name: 1e3 * one / max(sends, 1) for name, one in used.families.items()},
    }
