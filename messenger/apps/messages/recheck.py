"""Now and then, some of what the process remembers of seats is compared with the tables.

What is changed past the log and its triggers (they can be switched off) is found here, later: an error is logged, and
everything is forgotten.
"""

import asyncio
import logging

from messenger.db.connection import ReconnectingConnection
from messenger.errors import Unavailable
from messenger.log.log import Log

log = logging.getLogger(__name__)

EVERY = 10.0
MOST = 1000
# Nothing for who may not speak there.
NAMES = """
    select h.epoch, case when x.session is null or s.id is not null then coalesce(m.name, u.name) end as name
      from (select epoch from log_head order by position desc limit 1) h,
           unnest($1::bigint[], $2::bigint[], $3::bigint[]) with ordinality as x(chat, person, session, n)
      left join chats c on c.id = x.chat and c.deleted_at is null
      left join members m on m.chat_id = c.id and m.user_id = x.person
      left join users u on u.id = m.user_id
      left join sessions s on s.id = x.session and s.ended_at is null
     order by x.n
"""


async def recheck(connection: ReconnectingConnection, stream: Log) -> int:
    """Returns how many seats were remembered wrongly."""
    known = stream.known
    sample = known.sample(MOST)
    if not sample:
        return 0
    rows = await connection.rows(NAMES, *map(list, zip(*sample, strict=True)))
    if rows[0]["epoch"] != stream.followed_to.epoch:
        return 0
    await stream.barrier()  # what has changed since the sample was taken is heard of by now
    wrong = [
        seat
        for (seat, right), row in zip(sample.items(), rows, strict=True)
        if row["name"] != right.name and known.find(seat) is right
    ]
    if wrong:
        log.error("remembered wrongly, and forgotten: seats=%s of=%s", len(wrong), len(sample))
        stream.forget()
    return len(wrong)


async def keep_rechecking(connection: ReconnectingConnection, stream: Log) -> None:
    while True:
        await asyncio.sleep(EVERY)
        try:
            await recheck(connection, stream)
        except Unavailable:
            pass
        except Exception:
            log.exception("what is remembered could not be compared")
