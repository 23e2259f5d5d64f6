"""The news of an ordinary transaction gets its positions, as the last thing before the commit.

What is frequent (sends, read marks) goes through the appender instead.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from messenger.db.news import News

EMIT = text(
    "select last from log_emit(cast(:kinds as text[]), cast(:chats as bigint[]), cast(:users as bigint[]),"
    " cast(:actors as bigint[]), cast(:subjects as bigint[]), cast(:datas as jsonb[]))"
)


async def append(session: AsyncSession, news: Sequence[News]) -> int:
    """Returns the last position. No slow work may follow: until the commit all other writers wait."""
    arguments = {
        "kinds": [one.kind for one in news],
        "chats": [one.chat_id for one in news],
        "users": [one.user_id for one in news],
        "actors": [one.actor_id for one in news],
        "subjects": [one.subject_id for one in news],
        "datas": [None if one.data is None else msgspec.json.encode(one.data).decode() for one in news],
    }
    return int((await session.execute(EMIT, arguments)).scalar_one())
