-- As `log_append_known`, of one message, which is the usual batch where few people talk: statements about single rows
-- begin sooner than those about arrays. Here the log must stand where the caller followed it to.
create or replace function log_append_known_lone(
    at_position bigint, at_epoch text, the_chat bigint, the_sender bigint, the_seq bigint, the_key text, body text,
    the_copy bigint, the_marker bigint, the_floor bigint, leaving bigint,
    out last bigint, out stamp timestamptz
) language plpgsql as $$
declare
    chat_is_right bool;
    member_is_right bool;
    taken record;
begin
    -- 1. The chat and the sender's own marker. To write a row is to lock it.
    update chats c
       set head_seq = the_seq, head_id = at_position + 1, floor_count = c.floor_count - leaving
     where c.id = the_chat and c.head_seq = the_seq - 1 and c.floor_seq = the_floor and c.floor_count > leaving
       and c.deleted_at is null;
    chat_is_right := found;
    update members m set read_seq = the_seq
     where m.chat_id = the_chat and m.user_id = the_sender and m.read_seq = the_marker;
    member_is_right := found;

    -- 2. The head, last lock.
    taken := log_take(1);
    last := taken.last;
    stamp := taken.stamp;
    if taken.epoch <> at_epoch or last <> at_position + 1 then
        raise serialization_failure using message = 'more has happened than the caller knows of';
    end if;
    if not chat_is_right or not member_is_right then
        raise assert_failure using message = 'what is remembered is not what the tables say';
    end if;

    -- 3. The message. A key that is there already fails it: `log_append_lone` finds out what it means.
    insert into messages (chat_id, seq, id, sender_id, key, body_hash, text, sent_at, copy_id)
    values (the_chat, the_seq, last, the_sender, the_key, hashtextextended(body, 0), body, stamp, the_copy);
end $$;
