"""WebSocket bytes of a client, built and parsed by hand: measuring must cost less than what is measured. Pure."""

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
EMPTY_PONG = b"\x8a\x80\0\0\0\0"
SHORT, LONG = 126, 127


def masked(words: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame. The mask is zero: legal, and the bytes stay as they are."""
    length = len(words)
    if length < SHORT:
        return bytes((opcode, 0x80 | length)) + bytes(4) + words
    return bytes((opcode, 0x80 | SHORT)) + length.to_bytes(2, "big") + bytes(4) + words


def upgrade(path: str, token: str, *, protocol: str = "") -> bytes:
    more = f"Authorization: session_id {token}\r\n" if token else ""
    more += f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: lab\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{more}"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


def payload(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the server's frame at `at` begins and ends; None: the rest of it is not here yet."""
    if len(data) < at + 2:
        return None
    length = data[at + 1]
    start = at + 2
    if length == SHORT:
        start += 2
        length = int.from_bytes(data[at + 2 : start], "big")
    elif length == LONG:
        start += 8
        length = int.from_bytes(data[at + 2 : start], "big")
    end = start + length
    return None if len(data) < end else (start, end)
