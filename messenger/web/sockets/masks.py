"""Every frame of a client is masked, says RFC 6455 (5.1); aiohttp also takes those that are not. Pure.

A client that does not mask lets a foreign page choose the very bytes that travel through proxies.
"""

LENGTH_BYTES = {126: 2, 127: 8}
MASK_BYTES = 4


class Masks:
    """Follows the boundaries of the frames in a stream of bytes, whatever pieces it comes in."""

    __slots__ = ("_head", "_to_pass")

    def __init__(self) -> None:
        self._head = b""  # of a frame whose length is not known yet
        self._to_pass = 0  # bytes of the frame that is going by

    def all_set(self, data: bytes) -> bool:
        """Is every frame that begins in this piece masked?"""
        at = min(self._to_pass, len(data))
        self._to_pass -= at
        while at < len(data):
            head = self._head + data[at : at + 10]
            if len(head) > 1 and not head[1] & 0x80:
                return False
            short = head[1] & 0x7F if len(head) > 1 else 0
            size = 2 + LENGTH_BYTES.get(short, 0)
            if len(head) < size:
                self._head = head
                return True
            length = int.from_bytes(head[2:size], "big") if size > 2 else short  # noqa: PLR2004
            whole = size - len(self._head) + MASK_BYTES + length
            self._head = b""
            self._to_pass = max(0, at + whole - len(data))
            at += whole
        return True
