-- The group commit of plain messages by people whom the caller remembers (messenger/log/known.py). It has followed the log
-- up to `at_position`; what has happened since may have changed numbers, but no right, name or session: else nothing is
-- done and the batch takes `log_append`. Numbers are checked by the rows themselves, which are written in any case.
-- In the row of a sender's last message stands where the marker was (`s_marker`); in that of a chat's last one its head
-- and floor before (`s_before`, `s_floor`), and how many of the senders leave that floor (`s_leaving`), never all.
create or replace function log_append_known(
    at_position bigint, at_epoch text, harmless text[],
    s_chat bigint[], s_sender bigint[], s_seq bigint[], s_key text[], s_text text[], s_copy bigint[],
    s_marker bigint[], s_before bigint[], s_floor bigint[], s_leaving bigint[],
    out last bigint, out stamp timestamptz
) language plpgsql as $$
declare
    n int := cardinality(s_chat);
    base bigint;
    chats_right bigint;
    members_right bigint;
    taken record;
begin
    -- 1. The chats, in id order, and the senders' own markers. To write a row is to lock it.
    update chats c
       set head_seq = x.seq, head_id = at_position + x.n, floor_count = c.floor_count - x.leaving
      from (select y.chat, y.seq, y.before, y.floor, y.leaving, y.n
              from unnest(s_chat, s_seq, s_before, s_floor, s_leaving) with ordinality
                as y(chat, seq, before, floor, leaving, n)
             where y.before is not null order by y.chat) x
     where c.id = x.chat and c.head_seq = x.before and c.floor_seq = x.floor and c.floor_count > x.leaving
       and c.deleted_at is null;
    get diagnostics chats_right = row_count;
    update members m set read_seq = x.seq
      from unnest(s_chat, s_sender, s_seq, s_marker) as x(chat, sender, seq, marker)
     where x.marker is not null and m.chat_id = x.chat and m.user_id = x.sender and m.read_seq = x.marker;
    get diagnostics members_right = row_count;

    -- 2. The head, last lock, and what the caller did not know of when it asked.
    taken := log_take(n);
    last := taken.last;
    stamp := taken.stamp;
    base := taken.last - n;
    if taken.epoch <> at_epoch or base not between at_position and at_position + 1000 or (base > at_position and (
           exists (select from log_entries e where e.position > at_position and e.kind <> all (harmless))
           or exists (select from log_kept k where k.after_position > at_position))) then
        raise serialization_failure using message = 'more has happened than the caller knows of';
    end if;
    if chats_right < cardinality(array_remove(s_before, null)) or members_right < cardinality(array_remove(s_marker, null)) then
        if base > at_position then
            raise serialization_failure using message = 'others have written in these chats';
        end if;
        raise assert_failure using message = 'what is remembered is not what the tables say';
    end if;
    if base > at_position then
        update chats c set head_id = c.head_id + base - at_position
          from unnest(s_chat, s_before) as x(chat, before) where x.before is not null and c.id = x.chat;
    end if;

    -- 3. The messages. A key that is there already fails the batch: `log_append` finds out what it means.
    insert into messages (chat_id, seq, id, sender_id, key, body_hash, text, sent_at, copy_id)
    select x.chat, x.seq, base + x.n, x.sender, x.key, hashtextextended(x.body, 0), x.body, taken.stamp, x.copy
      from unnest(s_chat, s_seq, s_sender, s_key, s_text, s_copy) with ordinality
        as x(chat, seq, sender, key, body, copy, n);
end $$;
