create or replace function messenger.send(
    chat_id bigint, sender_id bigint, text text, client_id text default null, reply_to bigint default null
) returns bigint language plpgsql security definer set search_path = public as $$
declare
    draft bigint := nextval(pg_get_serial_sequence('inbox_drafts', 'id'));
begin
    if char_length(send.text) not between 1 and 4096 or send.text !~ '[^[:space:]]' then
        raise exception 'a message has 1 to 4096 characters, and something to show' using errcode = '22023';
    end if;
    if char_length(send.client_id) not between 1 and 64 then
        raise exception 'a client_id has 1 to 64 characters' using errcode = '22023';
    end if;
    insert into inbox_drafts (id, chat_id, sender_id, key, text, reply_to) overriding system value
    values (draft, send.chat_id, send.sender_id, coalesce('c:' || send.client_id, 'd:' || draft), send.text, send.reply_to);
    return draft;
end $$;
