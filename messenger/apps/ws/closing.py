"""Why a socket of `messenger.v1` is closed by the server: 40xx = come back, 45xx = do not."""

from messenger.web.sockets.closing import COMMON, Closing

DRAINING = Closing(
    4004, "draining", "The server stops; the reason carries the milliseconds to wait before coming back."
)
PROTOCOL_ERROR = Closing(4503, "protocol error", "Ten malformed or unknown frames within a minute.")

CLOSINGS = tuple(sorted((*COMMON, DRAINING, PROTOCOL_ERROR), key=lambda one: one.code))
