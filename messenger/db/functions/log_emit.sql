-- The end of an ordinary command: takes the head and writes its entries, in the order given.
-- Positions that other rows carry (since, deleted_at) are stamped here, as nobody knows them earlier.
create or replace function log_emit(
    kinds text[], chats_ bigint[], users_ bigint[], actors bigint[], subjects bigint[], datas jsonb[],
    out last bigint, out epoch text
) language plpgsql as $$
declare
    n int := cardinality(kinds);
    stamp timestamptz;
begin
    select t.last, t.stamp, t.epoch into log_emit.last, stamp, log_emit.epoch from log_take(n) t;
    insert into log_entries (position, kind, topic_chat, topic_user, actor_id, subject_id, data, at)
    select log_emit.last - n + e.i, e.kind, e.chat, e.person, e.actor, e.subject, e.data, stamp
      from unnest(kinds, chats_, users_, actors, subjects, datas) with ordinality
        as e(kind, chat, person, actor, subject, data, i);
    update members m set since = log_emit.last - n + e.i
      from unnest(kinds, chats_, users_) with ordinality as e(kind, chat, person, i)
     where e.kind = 'member_added' and m.chat_id = e.chat and m.user_id = e.person;
    update chats c set deleted_at = log_emit.last - n + e.i
      from unnest(kinds, chats_) with ordinality as e(kind, chat, i)
     where e.kind = 'chat_deleted' and c.id = e.chat;
end $$;
