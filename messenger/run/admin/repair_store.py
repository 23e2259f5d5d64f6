"""The statements that put right what fsck found: one function, one statement.

The chats are locked in the order in which everybody locks them.
"""

from collections.abc import Sequence

from messenger.db.database import Transaction
from messenger.db.statements import text


async def lock_chats(tx: Transaction, chats: Sequence[int]) -> None:
    statement = text("select id from chats where id = any(:chats) order by id for no key update")
    await tx.session.execute(statement, {"chats": chats})


async def recount_heads(tx: Transaction, chats: Sequence[int], *, may_lower: bool) -> None:
    """`may_lower`: no message is missing, so a head beyond the last one is a wrong number and not a loss."""
    statement = text(
        """
        update chats c set head_seq = r.seq, head_id = r.id
          from (select x.id as chat, coalesce(g.seq, 0) as seq, coalesce(g.id, 0) as id
                  from unnest(cast(:chats as bigint[])) x(id)
                  left join lateral (
                      select seq, id from messages where chat_id = x.id order by seq desc limit 1) g on true) r
         where c.id = r.chat and (:may_lower or (r.seq >= c.head_seq and r.id >= c.head_id))
           and (c.head_seq, c.head_id) is distinct from (r.seq, r.id)
        """
    )
    await tx.session.execute(statement, {"chats": chats, "may_lower": may_lower})


async def recount_markers(tx: Transaction, chats: Sequence[int]) -> None:
    """Within the chat; a lost one is where everybody was; nobody is behind what they said themselves."""
    statement = text(
        """
        update members m set read_seq = r.seq
          from (select n.chat_id, n.user_id,
                       greatest(least(case when n.read_seq >= 0 then n.read_seq else c.read_seq end, c.head_seq),
                                (select max(g.seq) from messages g where g.chat_id = n.chat_id
                                    and g.sender_id = n.user_id and g.id > n.since)) as seq
                  from members n join chats c on c.id = n.chat_id
                 where n.chat_id = any(cast(:chats as bigint[]))) r
         where m.chat_id = r.chat_id and m.user_id = r.user_id and m.read_seq is distinct from r.seq
        """
    )
    await tx.session.execute(statement, {"chats": chats})


async def recount_floors(tx: Transaction, chats: Sequence[int]) -> None:
    """As log_refloor counts them, but downwards too: what was read by all cannot be more than all have read."""
    statement = text(
        """
        update chats c
           set floor_seq = coalesce(x.lowest, c.head_seq), floor_count = coalesce(x.standing, 0),
               read_seq = case when x.present > 1 then x.lowest else least(c.read_seq, x.lowest, c.head_seq) end
          from (select y.id, z.* from unnest(cast(:chats as bigint[])) y(id)
                  left join lateral (
                      select m.read_seq as lowest, count(*)::int as standing, sum(count(*)) over () as present
                        from members m where m.chat_id = y.id group by m.read_seq order by m.read_seq limit 1) z
                    on true) x
         where c.id = x.id and c.deleted_at is null
        """
    )
    await tx.session.execute(statement, {"chats": chats})


async def find_living(tx: Transaction, chats: Sequence[int]) -> list[int]:
    statement = text("select id from chats where id = any(:chats) and deleted_at is null order by id")
    return list((await tx.session.execute(statement, {"chats": chats})).scalars())


async def bring_followers_back(tx: Transaction) -> None:
    """To the head: what a follower wrote beyond it is compared row by row where that matters."""
    statement = text(
        """
        update log_followers f set position = h.position
          from (select max(position) as position from log_head) h where f.position > h.position
        """
    )
    await tx.session.execute(statement)


async def drop_reactions(tx: Transaction, messages: Sequence[int]) -> None:
    statement = text(
        """
        delete from reactions r where r.message_id = any(:messages)
           and not exists (select from messages g where g.id = r.message_id and g.chat_id = r.chat_id
                                                    and g.deleted_at is null)
        """
    )
    await tx.session.execute(statement, {"messages": messages})


async def leave_traces(tx: Transaction, chats: Sequence[int], people: Sequence[int]) -> None:
    statement = text(
        """
        insert into former_members (user_id, chat_id)
        select x.person, x.chat
          from unnest(cast(:people as bigint[]), cast(:chats as bigint[])) x(person, chat)
         where not exists (select from members m where m.chat_id = x.chat and m.user_id = x.person)
            on conflict do nothing
        """
    )
    await tx.session.execute(statement, {"people": people, "chats": chats})
