"""The rights of each role in a chat: one table, pure. docs/rights.md says the same, and a test compares the two.

An effective role is a role, or `peer` in a direct chat, where nobody is above the other.
"""

from collections.abc import Mapping
from typing import Literal

ChatKind = Literal["chat", "group", "direct"]
Role = Literal["owner", "admin", "member"]
EffectiveRole = Literal["owner", "admin", "member", "peer"]
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

OWNERS: frozenset[EffectiveRole] = frozenset({"owner"})
ADMINS: frozenset[EffectiveRole] = frozenset({"owner", "admin"})
MEMBERS: frozenset[EffectiveRole] = frozenset({"owner", "admin", "member"})
EVERYBODY: frozenset[EffectiveRole] = frozenset({"owner", "admin", "member", "peer"})

RIGHTS: Mapping[Action, frozenset[EffectiveRole]] = {
    "read": EVERYBODY,  # and write: log_append finds the member's row, and nobody is asked here
    "mute": EVERYBODY,
    # A direct chat belongs to its two people for good; there is one per pair.
    "take_name": MEMBERS,
    "leave": MEMBERS,
    "change_chat": ADMINS,
    "add_members": ADMINS,
    "delete_message": ADMINS,  # of other people; everybody may delete their own
    "remove_member": ADMINS,
    "remove_admin": OWNERS,
    "remove_owner": OWNERS,
    "change_roles": OWNERS,
    "delete_chat": OWNERS,
}
REMOVALS: Mapping[Role, Action] = {"member": "remove_member", "admin": "remove_admin", "owner": "remove_owner"}


def effective_role(kind: ChatKind, role: Role) -> EffectiveRole:
    return "peer" if kind == "direct" else role


def may(role: EffectiveRole, action: Action) -> bool:
    return role in RIGHTS[action]
