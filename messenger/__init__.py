"""A messenger server: one ordered log of chats over REST, WebSocket and event streams."""

__version__ = "0.1.0"
