"""A messenger server: one ordered log of chats over REST, WebSocket and event streams."""

__version__ = "0.1.0"

ENTRY_POINTS = "messenger.apps"  # the group in which other packages name their sub-apps
