"""The kinds of damage: each is a statement that finds it and a sentence that describes it.

The statements run in one snapshot, so what a running server does meanwhile is seen as a whole or not at all.
Most read a table once in the order of an index; none of them keeps rows in this process.
"""

from dataclasses import dataclass
from typing import Literal

from messenger.apps.messages.schemas import KEY_LETTERS

Repair = Literal["chats", "search", "followers", "reactions", "traces", "sessions"]


@dataclass(frozen=True, slots=True)
class DamageKind:
    """`sentence` is filled with the columns of a row. `repair`: the repair for it; None: it cannot be repaired here."""

    name: str
    sentence: str
    find: str
    repair: Repair | None = None
    remedy: str = "It cannot be derived from the rest: compare with a backup."


# How far the index has followed the log. If edits were pruned before that, it begins anew by itself.
FOLLOWED = """
    followed as materialized (
        select case when k.after_position > greatest(s.position, b.position) then 0 else s.position end as upto
          from log_followers s join log_followers b on b.name = 'search begun' cross join log_kept k
         where s.name = 'search')
"""
# Messages with an edit or a deletion that the index has not followed yet may differ.
CHANGED_SINCE = """
    select from log_entries e where e.position > f.upto and e.kind in ('message_edited', 'message_deleted')
                                and e.subject_id = {message}
"""

KINDS = (
    DamageKind(
        "heads",
        "Chat {chat_id} says that its last message is number {head_seq} (id {head_id}); it is number {seq} (id {id}).",
        """
        select c.id as chat_id, c.head_seq, c.head_id, coalesce(g.seq, 0) as seq, coalesce(g.id, 0) as id
          from chats c
          left join lateral (select seq, id from messages where chat_id = c.id order by seq desc limit 1) g on true
         where (c.head_seq, c.head_id) is distinct from (coalesce(g.seq, 0), coalesce(g.id, 0))
        """,
        "chats",
        "Messages are missing as well, so the head may be right: compare with a backup.",
    ),
    DamageKind(
        "numbers",
        "Chat {chat_id}: number {before} is followed by number {seq}.",
        """
        select x.* from (select chat_id, seq, coalesce(lag(seq) over w, 0) as before
                           from messages window w as (partition by chat_id order by seq)) x
         where x.seq <> x.before + 1
        """,
    ),
    DamageKind(
        "order",
        "Chat {chat_id}: message {id} (number {seq}) stands after message {before}, which has a later position.",
        """
        select x.* from (select chat_id, seq, id, lag(id) over w as before
                           from messages window w as (partition by chat_id order by seq, id)) x
         where x.id <= x.before
        """,
    ),
    DamageKind(
        "markers",
        "Chat {chat_id}: user {user_id} has read up to {read_seq} of {last}.",
        """
        select m.chat_id, m.user_id, m.read_seq, c.last
          from (select h.id, coalesce((select max(seq) from messages where chat_id = h.id), 0) as last from chats h) c
          join members m on m.chat_id = c.id
         where m.read_seq is null or m.read_seq not between 0 and c.last
        """,
        "chats",
    ),
    DamageKind(
        "unread",
        "Chat {chat_id}: user {user_id} has read up to {read_seq}, though number {seq} is by them: too much is unread.",
        """
        select m.chat_id, m.user_id, m.read_seq, g.seq
          from (select chat_id, sender_id, max(seq) as seq, max(id) as id from messages group by chat_id, sender_id) g
          join members m on m.chat_id = g.chat_id and m.user_id = g.sender_id
         where g.id > m.since and g.seq > m.read_seq
        """,
        "chats",
    ),
    DamageKind(
        "floors",
        "Chat {chat_id} counts {floor_count} members at {floor_seq} and everything up to {read_seq} read by all; "
        "{present} are there, {standing} of them the furthest behind, at {lowest}.",
        """
        select c.id as chat_id, c.floor_seq, c.floor_count, c.read_seq, x.lowest, coalesce(x.standing, 0) as standing,
               coalesce(x.present, 0) as present
          from chats c
          left join lateral (
              select m.read_seq as lowest, count(*)::int as standing, sum(count(*)) over () as present
                from members m where m.chat_id = c.id group by m.read_seq order by m.read_seq limit 1) x on true
         where c.deleted_at is null
           and ((c.floor_seq, c.floor_count) is distinct from (coalesce(x.lowest, c.head_seq), coalesce(x.standing, 0))
                or c.read_seq > coalesce(x.lowest, c.head_seq)
                or x.present > 1 and c.read_seq <> x.lowest)
        """,
        "chats",
    ),
    DamageKind(
        "messages of no chat",
        "Message {id} is in chat {chat_id}, which there is not.",
        "select g.id, g.chat_id from messages g where not exists (select from chats c where c.id = g.chat_id)",
    ),
    DamageKind(
        "messages of nobody",
        "Message {id} in chat {chat_id} is by user {sender_id}, who was never there.",
        """
        select g.id, g.chat_id, g.sender_id from messages g
         where not exists (select from users u where u.id = g.sender_id)
        """,
    ),
    DamageKind(
        "messages of strangers",
        "Message {id} in chat {chat_id} by user {sender_id} stands after position {after}, where {why}.",
        """
        select g.id, g.chat_id, g.sender_id, r.position as after, 'they left it' as why
          from log_entries r
          join messages g on g.chat_id = r.topic_chat and g.sender_id = r.topic_user and g.id > r.position
         where r.kind = 'member_removed'
           and not exists (select from log_entries a where a.topic_chat = r.topic_chat and a.topic_user = r.topic_user
                                                       and a.kind = 'member_added' and a.position > r.position
                                                       and a.position < g.id)
           and not exists (select from members m where m.chat_id = r.topic_chat and m.user_id = r.topic_user
                                                   and m.since < r.position)
        union all
        select g.id, g.chat_id, g.sender_id, c.deleted_at, 'it was deleted'
          from chats c join messages g on g.chat_id = c.id and g.id > c.deleted_at
        """,
    ),
    DamageKind(
        "replies",
        "Message {id} in chat {chat_id} answers message {reply_to}, which is not in this chat before it.",
        """
        select g.id, g.chat_id, g.reply_to from messages g
         where g.reply_to is not null
           and not exists (select from messages t where t.id = g.reply_to and t.chat_id = g.chat_id and t.id < g.id)
        """,
    ),
    DamageKind(
        "members",
        "User {user_id} is a member of chat {chat_id}, but {why}.",
        """
        select x.chat_id, x.user_id, x.why
          from (select m.chat_id, m.user_id,
                       case when c.id is null then 'there is no such chat'
                            when u.id is null then 'there is no such user'
                            when u.deleted_at is not null then 'the account was deleted' end as why
                  from members m left join chats c on c.id = m.chat_id left join users u on u.id = m.user_id) x
         where x.why is not null
        """,
        remedy="Who should be in a chat cannot be derived: compare with a backup, or delete the rows.",
    ),
    DamageKind(
        "direct chats",
        "Direct chat {chat_id} of users {low} and {high}: {why}.",
        """
        select x.chat_id, x.low, x.high, x.why
          from (select coalesce(d.chat_id, c.id) as chat_id, d.low, d.high,
                       case when d.chat_id is null then 'nobody''s'
                            when c.id is null then 'there is no such chat'
                            when c.kind <> 'direct' then 'it is of another kind'
                            when exists (select from members m where m.chat_id = d.chat_id
                                                                  and m.user_id not in (d.low, d.high))
                            then 'somebody else is in it' end as why
                  from direct_chats d full join chats c on c.id = d.chat_id
                 where d.chat_id is not null or c.kind = 'direct') x
         where x.why is not null
        """,
    ),
    DamageKind(
        "owners",
        "Chat {chat_id} has {members} members and no owner.",
        """
        select c.id as chat_id, count(*) as members
          from chats c join members m on m.chat_id = c.id
         where c.kind <> 'direct' and c.deleted_at is null and c.creator_id is not null
         group by c.id having not bool_or(m.role = 'owner')
        """,
        remedy="Name one: update members set role = 'owner' where chat_id = … and user_id = …;",
    ),
    DamageKind(
        "former members",
        "User {user_id} said something in chat {chat_id} and is not in it: a new name would not be told there.",
        """
        select g.chat_id, g.sender_id as user_id
          from (select chat_id, sender_id from messages group by chat_id, sender_id) g
          join chats c on c.id = g.chat_id and c.deleted_at is null
          join users u on u.id = g.sender_id and u.deleted_at is null
         where not exists (select from members m where m.chat_id = g.chat_id and m.user_id = g.sender_id)
           and not exists (select from former_members f where f.chat_id = g.chat_id and f.user_id = g.sender_id)
        """,
        "traces",
    ),
    DamageKind(
        "reactions",
        "User {user_id} reacted to message {message_id} in chat {chat_id}, which there is not (any more).",
        """
        select r.chat_id, r.message_id, r.user_id from reactions r
         where not exists (select from messages g where g.id = r.message_id and g.chat_id = r.chat_id
                                                    and g.deleted_at is null)
        """,
        "reactions",
    ),
    DamageKind(
        "positions taken twice",
        "Position {position} is message {position} and an entry of kind {kind}.",
        "select e.position, e.kind from log_entries e join messages g on g.id = e.position",
    ),
    DamageKind(
        "missing positions",
        "The log has nothing at positions {first} to {last}.",
        """
        select x.before + 1 as first, x.position - 1 as last
          from (select p.position, coalesce(lag(p.position) over (order by p.position), k.after_position) as before
                  from log_kept k
                  join (select id as position from messages
                        union all select position from log_entries
                        union all select max(position) + 1 from log_head) p on p.position > k.after_position) x
         where x.position > x.before + 1
        """,
        remedy="Messages or entries were lost: compare with a backup.",
    ),
    DamageKind(
        "beyond the head",
        "{what} stands at position {position}, beyond the head {head}.",
        """
        select x.what, x.position, h.head
          from (select max(position) as head from log_head) h
          join (select 'Message ' || id || ' in chat ' || chat_id as what, id as position from messages
                union all select 'An entry of kind ' || kind, position from log_entries
                union all select 'The membership of user ' || user_id || ' in chat ' || chat_id, since from members
                union all select 'The end of chat ' || id, deleted_at from chats where deleted_at is not null
                union all select 'What was pruned', after_position from log_kept
                union all select 'The beginning of epoch ' || epoch, after_position from log_epochs) x
            on x.position > h.head
        """,
        remedy="The head was put back: stop the servers, and restore the backup as a whole.",
    ),
    DamageKind(
        "followers",
        "The follower {name} stands at {position}, beyond the head {head}.",
        """
        select f.name, f.position, h.head from log_followers f
          join (select max(position) as head from log_head) h on f.position > h.head
        """,
        "followers",
    ),
    DamageKind(
        "time",
        "Position {position} happened at {at}, before position {before} at {earlier}.",
        """
        select x.* from (select position, at, lag(position) over (order by position) as before,
                                lag(at) over (order by position) as earlier
                           from (select id as position, sent_at as at from messages
                                 union all select position, at from log_entries) l) x
         where x.at < x.earlier
        """,
    ),
    DamageKind(
        "epochs",
        "The head is of epoch {epoch}, the last one that began is {last}.",
        """
        select h.epoch, e.epoch as last
          from (select epoch from log_head order by position desc limit 1) h
          left join (select epoch from log_epochs order by number desc limit 1) e on true
         where h.epoch is distinct from e.epoch
        """,
        remedy="Begin a new one: messenger-admin new-epoch",
    ),
    DamageKind(
        "entries",
        "The entry at position {position} ({kind}) is about {what}, which there is not.",
        """
        select x.position, x.kind, x.what
          from (select e.position, e.kind,
                       case when e.topic_chat is not null and c.id is null then 'chat ' || e.topic_chat
                            when e.topic_user is not null and u.id is null then 'user ' || e.topic_user
                            when e.kind in ('message_edited', 'message_deleted', 'reaction') and g.id is null
                            then 'message ' || e.subject_id || ' in chat ' || e.topic_chat end as what
                  from log_entries e
                  left join chats c on c.id = e.topic_chat
                  left join users u on u.id = e.topic_user
                  left join messages g on g.id = e.subject_id and g.chat_id = e.topic_chat) x
         where x.what is not null
        """,
    ),
    DamageKind(
        "keys",
        "Message {id} in chat {chat_id} has the key {key}, which no sender gives.",
        f"select id, chat_id, left(key, 70) as key from messages where key !~ '^[{''.join(KEY_LETTERS)}]:.'",
    ),
    DamageKind(
        "digests",
        "Message {id} in chat {chat_id} was never edited, and its text is not what was sent under its key.",
        """
        select id, chat_id from messages
         where edited_at is null and deleted_at is null
           and body_hash <> hashtextextended(coalesce(text, '') || coalesce('#' || reply_to, ''), 0)
        """,
        remedy="Either the text or its digest was changed past the server: compare with a backup.",
    ),
    DamageKind(
        "sessions",
        "Session {session_id} is open, but the account of user {user_id} was deleted.",
        """
        select s.id as session_id, s.user_id from sessions s
          left join users u on u.id = s.user_id and u.deleted_at is null
         where s.ended_at is null and u.id is null
        """,
        "sessions",
    ),
    DamageKind(
        "search",
        "Message {message_id} in chat {chat_id} is {how} in the search index.",
        f"""
        with {FOLLOWED}
        select g.id as message_id, g.chat_id,
               case when d.message_id is null then 'missing' else 'not as it reads' end as how
          from followed f
          join messages g on g.id <= f.upto and g.deleted_at is null
          left join search_documents d on d.message_id = g.id and d.chat_id = g.chat_id
         where (d.message_id is null
                or (d.sender_id, d.seq, d.sent_at, d.text, d.ts) is distinct from
                   (g.sender_id, g.seq, g.sent_at, search_fold(coalesce(g.text, '')),
                    search_words(search_fold(coalesce(g.text, '')))))
           and not exists ({CHANGED_SINCE.format(message="g.id")})
        """,
        "search",
    ),
    DamageKind(
        "search rows of nothing",
        "The search index has message {message_id} in chat {chat_id}, which there is not (any more).",
        f"""
        with {FOLLOWED}
        select d.message_id, d.chat_id
          from followed f
          join search_documents d on d.message_id <= f.upto
         where not exists (select from messages g where g.id = d.message_id and g.chat_id = d.chat_id
                                                    and g.deleted_at is null)
           and not exists ({CHANGED_SINCE.format(message="d.message_id")})
        """,
        "search",
    ),
)
