"""Small talk for the tests of the live transports."""

from itertools import count

import asyncpg

from tests.actors import Person

NUMBERS = count(1)


async def says(person: Person, chat: str, text: str, **more) -> dict:
    """The message, as its sender was answered."""
    return (await person.post(f"/v1/chats/{chat}/messages", {"text": text, **more})).expecting(201).json


async def fill(sql: asyncpg.Connection, chat: str, sender: Person, left: int) -> None:
    """So many messages at once, by the function that writes all of them."""
    while left > 0:
        some = min(left, 500)
        left -= some
        row = await sql.fetchrow(
            "select * from log_append($1, $2, $3, $4, $5, $6, $7, '{}', '{}', '{}', '{}', '5 minutes')",
            [int(chat)] * some,
            [int(sender.user_id)] * some,
            [None] * some,
            [f"i:fill-{next(NUMBERS)}" for n in range(some)],
            [None] * some,
            [f"filled {left}" for n in range(some)],
            [None] * some,
        )
        assert set(row["s_status"]) == {"new"}


def told(events: list[dict]) -> list[str]:
    """The words of the messages among the events."""
    return [one["message"]["text"] for one in events if one["type"] == "new_message"]
