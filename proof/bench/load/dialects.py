"""What the sockets of a server speak: how one is opened, a send, and the heads of the frames that come back."""

import json
from dataclasses import dataclass

from proof.lab import frames

MARK = b"no %08d of %b "
TEXT_BYTES = 100


def said(run: bytes) -> bytes:
    """The text of a message; only its number is missing."""
    filler = b"x" * (TEXT_BYTES - len(MARK % (0, run)))
    return b"no %08d of " + run + b" " + filler


@dataclass(frozen=True)
class Dialect:
    """`words`: a send in which the chat, the run and three times one number are missing."""

    path: str
    greeting: bytes  # the head of the last frame before a socket is open; empty: there is none
    new_message: bytes
    ack: bytes
    error: bytes
    words: bytes
    signs_in_later: bool = False  # with a frame of its own instead of a header
    ping: bytes = b"\xff"  # a heartbeat in text frames, where there is one
    pong: bytes = b""

    def request(self, token: str) -> bytes:
        return frames.upgrade(self.path, "" if self.signs_in_later else token)

    def sign_in(self, token: str) -> bytes:
        return frames.masked(b"40" + json.dumps({"token": token}).encode()) if self.signs_in_later else b""

    def template(self, chat_id: int, run: bytes) -> bytes:
        """A frame in which only one number is missing, three times. With eight digits each has the same head."""
        words = self.words % (b"%d" % chat_id, run, said(run))
        size = len(words % (0, 0, 0))
        return frames.masked(bytes(size))[:-size].replace(b"%", b"%%") + words


DIALECTS = {
    "messenger": Dialect(
        path="/v1/ws",
        greeting=b'{"type":"ready"',
        new_message=b'{"type":"new_message"',
        ack=b'{"type":"ack"',
        error=b'{"type":"error"',
        words=b'{"type":"new_message","ref":"%%08d","chat_id":"%b","client_id":"%b-%%08d","text":"%b"}',
    ),
    # Engine.io's 4 is a message, socket.io's 40 signs in, 42 is an event, 43 the answer to one with a number.
    "socket.io": Dialect(
        path="/socket.io/?EIO=4&transport=websocket",
        greeting=b'40{"sid"',
        new_message=b'42["new_message"',
        ack=b"43",
        error=b'42["refused"',
        words=b'42%%08d["new_message",{"chat_id":"%b","client_id":"%b-%%08d","text":"%b"}]',
        signs_in_later=True,
        ping=b"2",
        pong=frames.masked(b"3"),
    ),
    "bare": Dialect(path="/socket", greeting=b"", new_message=b"", ack=b"", error=b"", words=b""),
}
