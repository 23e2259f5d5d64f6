"""`null`: the product with its sockets, sessions and hub, and the one database call of a send replaced by nothing.

What is fabricated is the answer of `log_append` and of `log_append_lone`: everybody may, nothing is a repeat, positions
and numbers rise. It lives here and not in the product, and is started as `python -m proof.bench.baselines.null`.
"""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from messenger.apps.messages import sending
from messenger.db.connection import ReconnectingConnection
from messenger.log import appender
from messenger.log.tail import HEAD
from messenger.run import api as messenger_api


class NoDatabase(ReconnectingConnection):
    """The appender's connection. Only where the log stands is asked, once."""

    position = 0
    epoch = ""
    numbers: defaultdict[int, int] = defaultdict(int)

    async def row(self, statement: str, *arguments: Any) -> Any:
        assert statement in (sending.APPEND, sending.APPEND_LONE), statement
        if not self.epoch:
            head = await super().row(HEAD)
            NoDatabase.position, NoDatabase.epoch = head["position"], head["epoch"]
        is_lone = statement == sending.APPEND_LONE
        chats, marks = ([arguments[0]], []) if is_lone else (arguments[0], arguments[7])
        first = self.position + 1
        NoDatabase.position += len(chats)
        numbers = []
        for chat in chats:
            self.numbers[chat] += 1
            numbers.append(self.numbers[chat])
        return {
            "s_status": ["new"] * len(chats),
            "s_id": range(first, first + len(chats)),
            "s_seq": numbers,
            "s_floor": numbers,  # nobody is above it, so nobody is remembered
            "s_name": ["person-1234-1-123"] * len(chats),
            "s_stored_by": [None] * len(chats),
            "stamp": datetime.now(UTC),
            "epoch": self.epoch,
            "last": self.position if chats else None,
            "r_status": ["read"] * len(marks),
            "r_seq": [1] * len(marks),
            "e_kind": None,
            "e_chat": None,
            "e_data": None,
        }


def main() -> None:
    appender.ReconnectingConnection = NoDatabase  # type: ignore[attr-defined]
    messenger_api.main()


if __name__ == "__main__":
    main()
