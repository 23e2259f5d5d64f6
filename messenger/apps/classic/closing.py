"""The codes with which the server closes an older socket."""

from messenger.web.sockets.closing import COMMON, Closing

GOING_AWAY = Closing(1001, "going away", "The server stops, or lost its way to the news; come back.")
NOT_A_MEMBER = Closing(1008, "not a member", "There is no such chat, or one is not in it, or not any more.")

CLOSINGS = tuple(sorted((*COMMON, GOING_AWAY, NOT_A_MEMBER), key=lambda one: one.code))
