-- The group commit of one plain message, which is most of what people say. It does and answers what `log_append` does for
-- a batch of one, in statements about single rows: a batch's plans take longer to begin than such a message to be stored.
create or replace function log_append_lone(
    the_chat bigint, the_sender bigint, the_session bigint, the_key text, body text, the_copy bigint default null,
    out s_status text[], out s_id bigint[], out s_seq bigint[], out s_name text[], out s_stored_by bigint[],
    out s_floor bigint[],
    out r_status text[], out r_seq bigint[],
    out last bigint, out stamp timestamptz, out epoch text,
    out e_kind text[], out e_chat bigint[], out e_data jsonb[]
) language plpgsql as $$
declare
    hash bigint := hashtextextended(body, 0);
    chat record;
    known record;   -- who sends, and what is stored under this key already
    low record;     -- the chat's floor afterwards
    taken record;
    rises boolean;  -- everybody has now read more than before
begin
    -- 1. The chat.
    select c.head_seq, c.floor_seq, c.floor_count, c.read_seq into chat
      from chats c where c.id = the_chat and c.deleted_at is null for no key update;

    -- 2. Rights and repeats, in a statement that is younger than the lock.
    select m.user_id as member, m.read_seq, coalesce(m.name, u.name) as name, o.id, o.seq, o.body_hash, o.copy_id,
           the_session is null or s.id is not null as is_open
      into known
      from (select 1) one
      left join members m on m.chat_id = the_chat and m.user_id = the_sender
      left join users u on u.id = the_sender
      left join sessions s on s.id = the_session and s.ended_at is null
      left join messages o on o.chat_id = the_chat and o.sender_id = the_sender and o.key = the_key;
    s_name := array[known.name];
    s_id := array[known.id];
    s_seq := array[known.seq];
    s_stored_by := array[known.copy_id];
    s_status := array[case when not known.is_open then 'session-revoked'
                           when known.member is null or chat.head_seq is null then 'chat-not-found'
                           when known.id is null then 'new'
                           when known.body_hash = hash then 'replayed'
                           else 'idempotency-conflict' end];
    if s_status[1] <> 'new' then
        return;
    end if;
    s_seq := array[chat.head_seq + 1];

    -- 3. The sender's own marker; nobody else moves it under the chat's lock. The last one who leaves the floor makes it
    --    rise.
    update members m set read_seq = s_seq[1] where m.chat_id = the_chat and m.user_id = the_sender;
    if not found then
        raise serialization_failure using message = 'a member has gone';  -- by hand, as the chat is locked
    end if;
    if known.read_seq = chat.floor_seq and chat.floor_count <= 1 then
        select m.read_seq as seq, count(*)::int as standing,
               case when sum(count(*)) over () > 1 then greatest(chat.read_seq, m.read_seq) else chat.read_seq end as read_seq
          into low
          from members m where m.chat_id = the_chat group by m.read_seq order by m.read_seq limit 1;
    else
        select chat.floor_seq as seq, chat.floor_count - (known.read_seq = chat.floor_seq)::int as standing, chat.read_seq
          into low;
    end if;
    rises := low.read_seq > chat.read_seq;
    s_floor := array[low.seq];

    -- 4. The head, last lock. A session that has ended before this position says nothing more.
    taken := log_take(1 + rises::int);
    last := taken.last;
    stamp := taken.stamp;
    epoch := taken.epoch;
    insert into messages (chat_id, seq, id, sender_id, key, body_hash, text, sent_at, copy_id)
    select the_chat, s_seq[1], taken.last - rises::int, the_sender, the_key, hash, body, taken.stamp, the_copy
     where the_session is null or exists (select from sessions s where s.id = the_session and s.ended_at is null);
    if not found then
        raise serialization_failure using message = 'a session has ended';
    end if;
    update chats c
       set head_seq = s_seq[1], head_id = taken.last - rises::int, floor_seq = low.seq, floor_count = low.standing,
           read_seq = low.read_seq
     where c.id = the_chat;
    if rises then
        e_kind := array['message_read_by_all'];
        e_chat := array[the_chat];
        e_data := array[jsonb_build_object(
            'from_seq', chat.read_seq + 1, 'to_seq', low.read_seq,
            'message_id', (select g.id from messages g where g.chat_id = the_chat and g.seq = low.read_seq))];
        insert into log_entries (position, topic_chat, kind, data, at) values (taken.last, the_chat, e_kind[1], e_data[1], stamp);
    end if;
end $$;
