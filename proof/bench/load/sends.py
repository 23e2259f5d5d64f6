"""S1: one to one. Each sender has one send in flight and sends the next when it is acknowledged; the partner is online,
and hears every message once and in order, or the figure is void.
"""

import asyncio
import secrets
from time import perf_counter
from typing import Any

from proof.bench.load.dialects import DIALECTS, MARK, Dialect
from proof.bench.load.sockets import Socket, open_all
from proof.bench.load.tally import Tally, figures_of, settled


class Sender(Socket):
    def __init__(self, dialect: Dialect, tally: Tally, chat_id: int, run: bytes) -> None:
        super().__init__(dialect)
        self.tally = tally
        self.acked = 0
        self.is_waiting = False
        self._sent_at = 0.0
        self._template = dialect.template(chat_id, run)
        self._ack = dialect.ack

    def send(self) -> None:
        number = self.acked + 1
        self.is_waiting = True
        self._sent_at = perf_counter()
        self.transport.write(self._template % (number, number, number))

    def hear(self, data: bytes, start: int, end: int) -> None:
        if not data.startswith(self._ack, start):
            if data.startswith(self.dialect.error, start):
                self.is_waiting = False
                self.tally.fault(data[start:end].decode())
            return
        now = perf_counter()
        self.acked += 1
        if self.tally.is_counting:
            self.tally.latencies.append(now - self._sent_at)
        if self.tally.is_going:
            self.send()
        else:
            self.is_waiting = False


class Partner(Socket):
    def __init__(self, dialect: Dialect, tally: Tally, run: bytes) -> None:
        super().__init__(dialect)
        self.tally = tally
        self.run = run
        self.heard = 0

    def hear(self, data: bytes, start: int, end: int) -> None:
        if not data.startswith(self.dialect.new_message, start):
            return
        self.heard += 1
        if data.find(MARK % (self.heard, self.run), start, end) < 0:
            self.tally.fault(f"instead of number {self.heard}: {data[start:end].decode()}")
        if self.tally.is_counting:
            self.tally.deliveries += 1


async def measure(spec: dict[str, Any]) -> dict[str, Any]:
    tally = Tally()
    run = secrets.token_hex(4).encode()
    pairs, dialect = spec["pairs"], DIALECTS[spec["dialect"]]
    partners = await open_all(spec, [pair["partner"] for pair in pairs], lambda number: Partner(dialect, tally, run))
    senders = await open_all(
        spec, [pair["sender"] for pair in pairs], lambda number: Sender(dialect, tally, pairs[number]["chat_id"], run)
    )
    await asyncio.sleep(spec["settle"])
    for sender in senders:
        sender.send()
    used = await tally.count(spec)
    await tally.finish(senders, "sends were not acknowledged")
    acked = sum(sender.acked for sender in senders)
    if not await settled(lambda: sum(partner.heard for partner in partners) == acked):
        tally.fault(f"{acked} acknowledged, {sum(partner.heard for partner in partners)} delivered")
    for sender, partner in zip(senders, partners, strict=True):
        if sender.acked != partner.heard:
            tally.fault(f"one pair: {sender.acked} acknowledged, {partner.heard} delivered")
    for socket in (*senders, *partners):
        if socket.is_lost:
            tally.fault("a socket was lost")
        socket.transport.abort()
    sends = len(tally.latencies)
    thousands = max(sends, 1) / 1000
    return {
        **figures_of(tally, used),
        "acked": acked,
        "sends": sends,
        "acked_per_s": sends / used.seconds,
        "deliveries": tally.deliveries,
        "cpu_s_per_1000": {name: seconds / thousands for name, seconds in used.families.items()},
    }
