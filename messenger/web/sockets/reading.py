"""From bytes, in whatever pieces they come, to what a client says, by the rules of RFC 6455. Pure.

Every frame is masked (5.1): else a foreign page could choose the very bytes that travel through proxies. Control frames
are short, whole, and may stand between the fragments of a message (5.5); no message begins within another one (5.4). No
extension is ever agreed on, so no reserved bit is set.
"""

from messenger.web.body import BODY_LIMIT
from messenger.web.sockets.closing import NOT_WEBSOCKET, TOO_BIG, Closing
from messenger.web.sockets.takeover import unmask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
FIN, RESERVED, OPCODE = 0x80, 0x70, 0x0F
MASKED, LENGTH = 0x80, 0x7F
WHOLE_TEXT = FIN | TEXT
SHORT, TWO_BYTES = 125, 126
HEAD = 6  # bytes before a short payload: two, and the mask
NO_MASK = bytes(4)


class BrokenFrames(Exception):
    """What comes is not WebSocket, or too big; nothing after it can be understood."""

    def __init__(self, why: Closing) -> None:
        self.why = why


class FrameReader:
    __slots__ = ("_at", "_begun", "_data", "_fragments")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0  # what comes before has been read
        self._begun = 0  # the opcode of a message whose end has not come
        self._fragments: bytearray | None = None  # of that message

    def feed(self, data: bytes) -> None:
        self._data = self._data[self._at :] + data if self._data else data
        self._at = 0

    def next(self) -> tuple[int, bytes] | None:
        """The opcode and the payload of the next whole message or control frame. None: it has not come yet."""
        while True:
            data, at = self._data, self._at
            size = len(data)
            if size < at + 2:
                return None
            first, second = data[at], data[at + 1]
            length = second & LENGTH
            if first != WHOLE_TEXT or second < MASKED or self._begun:
                self._check(first, second)
            start = at + HEAD
            if length > SHORT:
                start += 2 if length == TWO_BYTES else 8
                if size < start:
                    return None
                length = int.from_bytes(data[at + 2 : start - 4], "big")
                if length > BODY_LIMIT:
                    raise BrokenFrames(TOO_BIG)
            end = start + length
            if size < end:
                return None
            payload, mask = data[start:end], data[start - 4 : start]
            if mask != NO_MASK:
                payload = unmask(payload, mask)
            if end == size:
                self._data, self._at = b"", 0  # an idle socket keeps nothing of what it said
            else:
                self._at = end
            if first == WHOLE_TEXT:
                return TEXT, payload
            found = self._put_together(first & OPCODE, bool(first & FIN), payload)
            if found is not None:
                return found

    def _check(self, first: int, second: int) -> None:
        opcode = first & OPCODE
        if opcode >= CLOSE:
            is_good = first & FIN and second & LENGTH <= SHORT
        else:
            is_good = bool(self._begun) == (opcode == CONTINUATION)
        if not is_good or first & RESERVED or opcode not in OPCODES or second < MASKED:
            raise BrokenFrames(NOT_WEBSOCKET)

    def _put_together(self, opcode: int, is_last: bool, payload: bytes) -> tuple[int, bytes] | None:
        if opcode >= CLOSE or (is_last and not self._begun):
            return opcode, payload
        if self._fragments is None:
            self._begun, self._fragments = opcode, bytearray()
        self._fragments += payload
        if len(self._fragments) > BODY_LIMIT:
            raise BrokenFrames(TOO_BIG)
        if not is_last:
            return None
        whole = self._begun, bytes(self._fragments)
        self._begun, self._fragments = 0, None
        return whole
