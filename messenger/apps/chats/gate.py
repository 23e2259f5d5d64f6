"""Who may do what in a chat: one table, pure. docs/rights.md says the same by hand, and a test compares the two.

A seat is what somebody is in a chat: a role, or one of the two in a direct chat, where nobody is above the other.
"""

from collections.abc import Mapping
from typing import Literal

Kind = Literal["chat", "group", "direct"]
Role = Literal["owner", "admin", "member"]
Seat = Literal["owner", "admin", "member", "peer"]
Action = Literal[
    "read",
    "mute",
    "take_name",
    "leave",
    "change_chat",
    "add_members",
    "delete_message",
    "remove_member",
    "remove_admin",
    "remove_owner",
    "change_roles",
    "delete_chat",
]

OWNERS: frozenset[Seat] = frozenset({"owner"})
ADMINS: frozenset[Seat] = frozenset({"owner", "admin"})
MEMBERS: frozenset[Seat] = frozenset({"owner", "admin", "member"})
EVERYBODY: frozenset[Seat] = frozenset({"owner", "admin", "member", "peer"})

RIGHTS: Mapping[Action, frozenset[Seat]] = {
    "read": EVERYBODY,  # and to write, which every send asks of the member's row itself
    "mute": EVERYBODY,
    # A direct chat is the two people it is between, for good: one per pair.
    "take_name": MEMBERS,
    "leave": MEMBERS,
    "change_chat": ADMINS,
    "add_members": ADMINS,
    "delete_message": ADMINS,  # another's; one's own is everybody's to delete
    "remove_member": ADMINS,
    "remove_admin": OWNERS,
    "remove_owner": OWNERS,
    "change_roles": OWNERS,
    "delete_chat": OWNERS,
}
REMOVALS: Mapping[Role, Action] = {"member": "remove_member", "admin": "remove_admin", "owner": "remove_owner"}


def seat_of(kind: Kind, role: Role) -> Seat:
    return "peer" if kind == "direct" else role


def may(seat: Seat, action: Action) -> bool:
    return seat in RIGHTS[action]
