"""The watch over masks, as arithmetic: where frames begin, whatever pieces the bytes come in."""

import random

from messenger.web.sockets.masks import Masks
from tests.apps.ws.raw import BINARY, CLOSE, CONTINUATION, TEXT, frame


def frames(seed: int, *, last_is_masked: bool) -> bytes:
    dice = random.Random(seed)
    sizes = [dice.choice([0, 1, 125, 126, 127, 300, 65535, 65536, 70000]) for _ in range(dice.randint(0, 6))]
    opcodes = [dice.choice([TEXT, BINARY, CONTINUATION, CLOSE]) for _ in sizes]
    masked = b"".join(frame(bytes(size), opcode) for size, opcode in zip(sizes, opcodes, strict=True))
    return masked + frame(b"\xff" * dice.choice([0, 5, 200]), masked=last_is_masked)


def in_pieces(data: bytes, seed: int) -> list[bytes]:
    dice = random.Random(seed)
    found = []
    while data:
        size = dice.choice([1, 2, 3, 5, 9, 11, 1000, 65536, len(data)])
        found.append(data[:size])
        data = data[size:]
    return found


def test_masked_frames_pass_in_whatever_pieces():
    for seed in range(200):
        masks = Masks()
        assert all(masks.all_set(piece) for piece in in_pieces(frames(seed, last_is_masked=True), seed)), seed


def test_one_frame_without_a_mask_is_seen_in_whatever_pieces():
    for seed in range(200):
        masks = Masks()
        assert not all(masks.all_set(piece) for piece in in_pieces(frames(seed, last_is_masked=False), seed)), seed
