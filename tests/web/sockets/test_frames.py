"""The reader of frames, as arithmetic: the same messages, whatever pieces the bytes come in."""

import random

import pytest

from messenger.web.body import BODY_LIMIT
from messenger.web.sockets.closing import NOT_WEBSOCKET, TOO_BIG, Closing
from messenger.web.sockets.frames import close_frame, framed, pong
from messenger.web.sockets.reading import BrokenFrames, FrameReader
from messenger.web.sockets.takeover import unmask
from tests.apps.ws.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

Found = list[tuple[int, bytes]]


def conversation(seed: int) -> tuple[bytes, Found]:
    """Messages whole and in fragments, with control frames between them; and what they are."""
    dice = random.Random(seed)
    said, meant = b"", []
    for _ in range(dice.randint(0, 6)):
        opcode, words = dice.choice([TEXT, BINARY]), dice.randbytes(dice.choice([0, 1, 125, 126, 127, 300, BODY_LIMIT]))
        cuts = sorted(dice.randint(0, len(words)) for _ in range(dice.choice([0, 0, 1, 3])))
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(words)], strict=True)):
            said += frame(words[start:end], opcode if number == 0 else CONTINUATION, fin=number == len(cuts))
            if number < len(cuts) and dice.random() < 0.5:
                control = dice.choice([PING, PONG]), dice.randbytes(dice.choice([0, 4, 125]))
                said += frame(control[1], control[0])
                meant.append(control)
        meant.append((opcode, words))
    return said, meant


def in_pieces(data: bytes, seed: int) -> list[bytes]:
    dice = random.Random(seed)
    found = []
    while data:
        size = dice.choice([1, 2, 3, 5, 9, 11, 1000, 65536, len(data)])
        found.append(data[:size])
        data = data[size:]
    return found


def read(pieces: list[bytes]) -> tuple[Found, Closing | None]:
    reader, found = FrameReader(), []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (one := reader.next()) is not None:
                found.append(one)
    except BrokenFrames as broken:
        return found, broken.why
    return found, None


def test_what_is_said_is_heard_in_whatever_pieces():
    for seed in range(200):
        said, meant = conversation(seed)

        assert read(in_pieces(said, seed)) == (meant, None), seed


@pytest.mark.parametrize(
    "broken",
    [frame(b"\xff", masked=False), frame(b"x", rsv=4), frame(b"x", 3)],
    ids=["no mask", "reserved bit", "no opcode"],
)
def test_what_comes_before_a_broken_frame_is_heard_in_whatever_pieces_and_nothing_after_it(broken):
    for seed in range(100):
        said, meant = conversation(seed)

        assert read(in_pieces(said + broken + frame(b"late"), seed)) == (meant, NOT_WEBSOCKET), seed


def test_no_message_begins_within_another_and_pings_may():
    begun = frame(b"", fin=False) + frame(b"x", PING) + frame(b"", CONTINUATION, fin=False)
    for seed in range(50):
        pieces = in_pieces(begun + frame(b"y", CONTINUATION) + frame(b"z"), seed)
        assert read(pieces) == ([(PING, b"x"), (TEXT, b"y"), (TEXT, b"z")], None)

        for opcode in (TEXT, BINARY):
            assert read(in_pieces(begun + frame(b"z", opcode), seed)) == ([(PING, b"x")], NOT_WEBSOCKET)


def test_the_limit_holds_for_a_message_and_for_the_sum_of_its_fragments_and_empty_ones_weigh_nothing():
    most = b"x" * BODY_LIMIT
    assert read([frame(most)]) == ([(TEXT, most)], None)
    assert read([frame(most + b"x")[:14]]) == ([], TOO_BIG), "its announcement is enough"
    assert read([frame(most, fin=False), frame(b"x", CONTINUATION)]) == ([], TOO_BIG)
    assert read([frame(most, fin=False), *[frame(b"", CONTINUATION, fin=False)] * 50, frame(b"", CONTINUATION)]) == (
        [(TEXT, most)],
        None,
    )


def test_nothing_is_kept_of_what_was_read():
    reader = FrameReader()
    reader.feed(frame(b"x" * 1000) + frame(b"y", fin=False) + frame(b"z", CONTINUATION))
    while reader.next() is not None:
        pass

    assert (reader._data, reader._fragments) == (b"", None)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 125, 1000])
def test_a_mask_is_taken_off_as_rfc_6455_says(size):
    words, mask = random.Random(size).randbytes(size), b"\x01\x80\xff\x7f"

    assert unmask(bytes(byte ^ mask[at % 4] for at, byte in enumerate(words)), mask) == words


def test_frames_that_are_made_have_the_lengths_of_rfc_6455():
    assert framed(b"x" * 125)[:2] == b"\x81\x7d"
    assert framed(b"x" * 126)[:4] == b"\x81\x7e\x00\x7e"
    assert framed(b"x" * 65536)[:10] == b"\x81\x7f" + (65536).to_bytes(8, "big")
    assert pong(b"there?") == b"\x8a\x06there?"
    assert close_frame(4004, "250") == bytes((0x80 | CLOSE, 5)) + b"\x0f\xa4250"
