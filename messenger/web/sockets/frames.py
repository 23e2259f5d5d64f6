"""Frames of RFC 6455 as bytes: made here, read in reading.py. Pure."""

LONG, LONGER = 126, 1 << 16
PING = b"\x89\x00"


def framed(words: bytes) -> bytes:
    """A text frame, unmasked and uncompressed: the same bytes for every socket."""
    length = len(words)
    if length < LONG:
        return bytes((0x81, length)) + words
    if length < LONGER:
        return b"\x81\x7e" + length.to_bytes(2, "big") + words
    return b"\x81\x7f" + length.to_bytes(8, "big") + words


def pong(payload: bytes) -> bytes:
    return bytes((0x8A, len(payload))) + payload  # the reader refuses pings of more than 125 bytes


def close_frame(code: int, reason: str = "") -> bytes:
    words = reason.encode()
    return bytes((0x88, 2 + len(words))) + code.to_bytes(2, "big") + words


def is_utf8(words: bytes) -> bool:
    if words.isascii():
        return True
    try:
        words.decode()
    except UnicodeDecodeError:
        return False
    return True
