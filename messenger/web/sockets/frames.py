"""Frames of RFC 6455 as bytes: made, and checked. Pure."""

LONG, LONGER = 126, 1 << 16
PING = b"\x89\x00"
LENGTH_BYTES = {126: 2, 127: 8}
MASK_BYTES = 4
FIN, OPCODE, TEXT, BINARY = 0x80, 0x0F, 0x1, 0x2


def framed(words: bytes) -> bytes:
    """A text frame, unmasked and uncompressed: the same bytes for every socket."""
    length = len(words)
    if length < LONG:
        return bytes((0x81, length)) + words
    if length < LONGER:
        return b"\x81\x7e" + length.to_bytes(2, "big") + words
    return b"\x81\x7f" + length.to_bytes(8, "big") + words


def pong(payload: bytes) -> bytes:
    return bytes((0x8A, len(payload))) + payload  # aiohttp refuses pings of more than 125 bytes


def is_utf8(words: bytes) -> bool:
    if words.isascii():
        return True
    try:
        words.decode()
    except UnicodeDecodeError:
        return False
    return True


class FrameBoundaries:
    """Checks in a stream of bytes what RFC 6455 demands of a client's frames and aiohttp does not check.

    Every frame is masked (5.1): else a foreign page could choose the very bytes that travel through proxies. No message
    begins within another one (5.4); aiohttp accepts that where the first fragment was empty.
    """

    __slots__ = ("_head", "_is_in_message", "_to_pass")

    def __init__(self) -> None:
        self._head = b""  # of a frame whose length is not known yet
        self._to_pass = 0  # bytes left of the present frame
        self._is_in_message = False

    def count_good(self, data: bytes) -> int:
        """How many bytes of this piece come before the first frame that breaks a rule."""
        at = min(self._to_pass, len(data))
        self._to_pass -= at
        while at < len(data):
            head = self._head + data[at : at + 10]
            if len(head) > 1 and not (head[1] & 0x80 and self._may_begin(head[0])):
                return at
            short = head[1] & 0x7F if len(head) > 1 else 0
            size = 2 + LENGTH_BYTES.get(short, 0)
            if len(head) < size:
                self._head = head
                break
            if head[0] & OPCODE <= BINARY:
                self._is_in_message = not head[0] & FIN
            length = int.from_bytes(head[2:size], "big") if size > 2 else short  # noqa: PLR2004
            whole = size - len(self._head) + MASK_BYTES + length
            self._head = b""
            self._to_pass = max(0, at + whole - len(data))
            at += whole
        return len(data)

    def _may_begin(self, first: int) -> bool:
        return not (self._is_in_message and TEXT <= first & OPCODE <= BINARY)
