"""Why a server closes a socket, whatever is spoken on it. Each code has one meaning; transports add their own.

The codes below 4000 are RFC 6455's own, for what is no proper WebSocket at all or does not fit. Pure.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Closing:
    code: int
    reason: str
    when: str


NOT_WEBSOCKET = Closing(1002, "protocol", "Bytes that are no WebSocket frames.")
NOT_TEXT = Closing(1003, "text frames only", "A binary frame came.")
NOT_UTF8 = Closing(1007, "not text", "A text frame was not UTF-8.")
TOO_BIG = Closing(1009, "too big", "A message was larger than 64 KiB.")
HEARTBEAT_LOST = Closing(4000, "heartbeat lost", "Two pings in a row were not answered.")
TOO_SLOW = Closing(4001, "too slow", "Events gathered faster than the client read them; resume from your cursor.")
RATE_LIMITED = Closing(4002, "rate limited", "Fifty frames within ten seconds were refused as too many.")
SESSION_ENDED = Closing(4502, "session ended", "The session was ended here or elsewhere, or ran out; sign in again.")

COMMON = (NOT_WEBSOCKET, NOT_TEXT, NOT_UTF8, TOO_BIG, HEARTBEAT_LOST, TOO_SLOW, RATE_LIMITED, SESSION_ENDED)

# How an end is counted that has no code, or one that only its client knows.
LOST, UNNAMED = 1006, 0

# Codes that a close frame may carry (RFC 6455, 7.4). 1005, 1006 and 1015 stand for what was never sent.
DEFINED = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011})
FOR_APPLICATIONS = range(3000, 5000)


def may_be_sent(code: int) -> bool:
    return code in DEFINED or code in FOR_APPLICATIONS
