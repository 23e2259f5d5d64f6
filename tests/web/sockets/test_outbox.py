"""The outbox over a wire that the test opens and closes: order, bounds, and that nobody who puts ever waits."""

import asyncio
from collections.abc import Callable

import pytest

from messenger.web.sockets.outbox import MOST_BYTES, MOST_FRAMES, SMALL, Outbox, Post


class Wire:
    """A transport with asyncio's marks: paused above SMALL, resumed below a quarter of it."""

    def __init__(self) -> None:
        self.outbox: Outbox | None = None
        self.written: list[bytes] = []
        self.unsent = 0
        self.is_paused = False

    def is_closing(self) -> bool:
        return False

    def write(self, frame: bytes) -> None:
        self.written.append(frame)
        self.unsent += len(frame)
        if self.unsent > SMALL and not self.is_paused:
            self.is_paused = True
            self.outbox.pause()

    def takes(self, most: int = 1 << 60) -> None:
        """The peer reads."""
        self.unsent = max(0, self.unsent - most)
        if self.unsent <= SMALL // 4 and self.is_paused:
            self.is_paused = False
            self.outbox.resume()


def outbox_on(wire: Wire, overflow: Callable[[], None]) -> Outbox:
    wire.outbox = Outbox(wire, Post(asyncio.get_running_loop()), overflow)
    return wire.outbox


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def overflows() -> list[bool]:
    return []


@pytest.fixture
async def outbox(wire: Wire, overflows: list[bool]) -> Outbox:
    return outbox_on(wire, lambda: overflows.append(True))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


async def test_what_is_put_in_one_turn_leaves_together_at_its_end(wire, outbox):
    outbox.put(b"one")
    outbox.put(b"two")
    assert wire.written == []

    await asyncio.sleep(0)
    outbox.put(b"three")
    await asyncio.sleep(0)

    assert wire.written == [b"onetwo", b"three"]
    assert not outbox.is_behind


async def test_a_burst_in_one_turn_is_no_reason_to_give_a_reader_up(wire, outbox, overflows):
    frames = [b"%d" % number for number in range(3 * MOST_FRAMES)]
    for frame in frames:
        outbox.put(frame)
    await asyncio.sleep(0)

    assert b"".join(wire.written) == b"".join(frames)
    assert not overflows


async def test_what_was_put_before_the_close_in_the_same_turn_still_leaves(wire, outbox):
    outbox.put(b"the last word")

    outbox.close()

    assert wire.written == [b"the last word"]


async def test_frames_keep_their_order_behind_a_slow_reader_and_none_is_lost(wire, outbox, overflows):
    frames = [bytes([number]) * 5000 for number in range(150)]
    for frame in frames:
        outbox.put(frame)
    assert sum(map(len, wire.written)) < 2 * SMALL

    late = [b"late%d" % number for number in range(50)]
    for number in range(400):
        wire.takes(3000)
        await asyncio.sleep(0)
        if number < len(late):
            outbox.put(late[number])
    whole = b"".join([*frames, *late])
    await until(lambda: sum(map(len, wire.written)) == len(whole))

    assert b"".join(wire.written) == whole
    assert not overflows


@pytest.mark.parametrize(("size", "most"), [(10, MOST_FRAMES), (70_000, MOST_BYTES // 70_000), (0, MOST_FRAMES)])
async def test_past_the_bound_a_socket_is_given_up_once_and_holds_nothing(wire, outbox, overflows, size, most):
    outbox.put(b"x" * (SMALL + 1))  # the wire is full
    for _ in range(most):
        outbox.put(b"x" * size)
    assert not overflows

    for _ in range(10):
        outbox.put(b"x" * size)
    assert overflows == [True]

    wire.takes()
    await asyncio.sleep(0)
    assert len(wire.written) == 1


async def test_who_pulls_waits_until_there_is_room(wire, outbox):
    outbox.put(b"x" * (SMALL + 1))
    outbox.put(b"more")
    assert outbox.is_behind
    waits = asyncio.create_task(outbox.room())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waits.done()

    wire.takes()

    await asyncio.wait_for(waits, 5)
    assert wire.written[1:] == [b"more"]


async def test_after_its_close_nothing_goes_out_and_nobody_waits(wire, outbox):
    outbox.put(b"x" * (SMALL + 1))
    outbox.put(b"waiting")
    waits = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)

    outbox.close()
    wire.takes()
    outbox.put(b"late")
    await asyncio.wait_for(waits, 5)

    assert len(wire.written) == 1
