"""The ordered log of everything that happens in chats.

The database holds it; memory holds only how far this process has followed it.
"""
