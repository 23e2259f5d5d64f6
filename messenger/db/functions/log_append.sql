-- The group commit: many sends and read marks, one round trip, one commit. Separate statements, because each must see
-- what the locks before it have made final, and so that locks are always taken in one order: chats by id, members, head.
-- One bad draft never fails its neighbours: each has its own verdict. A key comes once in a batch: the caller sees to
-- it. New messages get the first positions of the batch in the order of their drafts: the caller counts them, `s_id` has
-- only those of repeats. `s_floor`: where the chat's floor is afterwards; the sender's own marker is at `s_seq`.
create or replace function log_append(
    s_chat bigint[], s_sender bigint[], s_session bigint[], s_key text[], s_operation smallint[], s_text text[],
    s_reply bigint[],
    r_chat bigint[], r_reader bigint[], r_session bigint[], r_message bigint[],
    operation_window interval, s_copy bigint[] default null,
    out s_status text[], out s_id bigint[], out s_seq bigint[], out s_name text[], out s_stored_by bigint[],
    out s_floor bigint[],
    out r_status text[], out r_seq bigint[],
    out last bigint, out stamp timestamptz, out epoch text,
    out e_kind text[], out e_chat bigint[], out e_data jsonb[]
) language plpgsql as $$
declare
    fresh int := 0;                        -- how many messages are new
    w_id bigint[]; w_seq bigint[]; w_hash bigint[]; w_copy bigint[];  -- what an operation stored already, within its window
    t_id bigint[];                         -- the messages that are answered
    s_hash bigint[];
    s_rank bigint[];                       -- how many of the batch are new up to this one
    s_was bigint[];                        -- where the senders' markers stood
    s_speaking bigint[];                   -- the sessions whose drafts are taken
    r_was bigint[];
    r_floor bigint[];
    r_speaking bigint[];
    g_chat bigint[];                       -- the chats of members who left the floor, each as often as that happened
    written int;                           -- markers that moved
    v_chat bigint[]; v_user bigint[]; v_was bigint[]; v_marked bigint[];  -- explicit marks that moved
    k_chat bigint[]; k_data jsonb[];       -- the same, one entry per chat
    f_chat bigint[]; f_floor bigint[]; f_count int[]; f_was bigint[]; f_now bigint[];
    entries int := 0;
    base bigint;
begin
    -- 1. The chats, in id order. NO KEY, so that another application's foreign key to a chat does not stop the server.
    perform 1 from chats c where c.id = any (s_chat || r_chat) order by c.id for no key update;

    -- 2. Rights, repeats and numbers, in statements that are younger than the locks. What few drafts have (an operation,
    --    a message they answer) is looked up only where one of them has it.
    if array_remove(s_operation, null) <> '{}' then
        select array_agg(w.id order by d.n), array_agg(w.seq order by d.n), array_agg(w.body_hash order by d.n),
               array_agg(w.copy_id order by d.n)
          into w_id, w_seq, w_hash, w_copy
          from unnest(s_chat, s_sender, s_operation) with ordinality as d(chat, sender, operation, n)
          left join lateral (
              select g.id, g.seq, g.body_hash, g.copy_id from messages g
               where g.chat_id = d.chat and g.sender_id = d.sender and g.operation_id = d.operation
                 and g.sent_at > clock_timestamp() - operation_window
               order by g.seq desc limit 1) w on true;
    end if;
    if array_remove(s_reply, null) <> '{}' then
        select array_agg(t.id order by d.n) into t_id
          from unnest(s_chat, s_reply) with ordinality as d(chat, reply, n)
          left join messages t on t.id = d.reply and t.chat_id = d.chat;
    end if;
    if cardinality(s_chat) > 0 then
        select array_agg(j.status), array_agg(j.id), array_agg(j.seq), array_agg(j.name), array_agg(j.copy_id), array_agg(j.hash),
               array_agg(j.rank), array_agg(j.read_seq), array_agg(j.floor_seq),
               array_agg(j.session) filter (where j.status = 'new'), count(*) filter (where j.status = 'new')
          into s_status, s_id, s_seq, s_name, s_stored_by, s_hash, s_rank, s_was, s_floor, s_speaking, fresh
          from (select i.status, i.id, i.name, i.copy_id, i.hash, i.session, i.read_seq, i.floor_seq,
                       case when i.status = 'new' then i.head_seq + i.in_chat else i.seq end as seq,
                       count(*) filter (where i.status = 'new') over (order by i.n) as rank
                  from (select d.*, count(*) filter (where d.status = 'new') over (partition by d.chat order by d.n) as in_chat
                          from (select x.n, x.chat, x.session, x.hash, c.head_seq, c.floor_seq, m.read_seq,
                                       coalesce(m.name, u.name) as name, coalesce(o.id, x.again_id) as id,
                                       coalesce(o.seq, x.again_seq) as seq,
                                       case when o.id is not null then o.copy_id else x.again_copy end as copy_id,
                                       case when x.session is not null and s.id is null then 'session-revoked'
                                            when m.user_id is null or c.id is null then 'chat-not-found'
                                            when o.id is not null or x.again_id is not null then
                                                case when coalesce(o.body_hash, x.again_hash) = x.hash
                                                     then 'replayed' else 'idempotency-conflict' end
                                            when x.reply is not null and x.answered is null then 'message-not-found'
                                            else 'new' end as status
                                  from (select y.*, hashtextextended(y.body || coalesce('#' || y.reply, ''), 0) as hash
                                          from unnest(s_chat, s_sender, s_session, s_key, s_text, s_reply, t_id,
                                                      w_id, w_seq, w_hash, w_copy) with ordinality
                                            as y(chat, sender, session, key, body, reply, answered,
                                                 again_id, again_seq, again_hash, again_copy, n)) x
                                  left join chats c on c.id = x.chat and c.deleted_at is null
                                  left join members m on m.chat_id = x.chat and m.user_id = x.sender
                                  left join users u on u.id = x.sender
                                  left join sessions s on s.id = x.session and s.ended_at is null
                                  left join messages o
                                    on o.chat_id = x.chat and o.sender_id = x.sender and o.key = x.key) d) i
                 order by i.n) j;
    end if;
    if cardinality(r_chat) > 0 then
        select array_agg(j.status), array_agg(j.seq), array_agg(j.read_seq), array_agg(j.floor_seq),
               array_agg(j.session) filter (where j.status = 'read')
          into r_status, r_seq, r_was, r_floor, r_speaking
          from (select d.session, g.seq, m.read_seq, c.floor_seq,
                       case when d.session is not null and s.id is null then 'session-revoked'
                            when m.user_id is null or c.id is null then 'chat-not-found'
                            when g.id is null then 'message-not-found'
                            else 'read' end as status
                  from unnest(r_chat, r_reader, r_session, r_message) with ordinality as d(chat, reader, session, message, n)
                  left join chats c on c.id = d.chat and c.deleted_at is null
                  left join members m on m.chat_id = d.chat and m.user_id = d.reader
                  left join sessions s on s.id = d.session and s.ended_at is null
                  left join messages g on g.id = d.message and g.chat_id = d.chat
                 order by d.n) j;
    end if;

    -- 3. Markers: the senders' own and the explicit ones; never back. Where they stood is known from 2: under the chat's
    --    lock nobody else moves them.
    with moved as (
        update members m set read_seq = w.upto
          from (select z.chat, z.who, max(z.upto) as upto, max(z.marked) as marked, max(z.was) as was, max(z.floor) as floor
                  from (select y.chat, y.who, y.upto, null::bigint as marked, y.was, y.floor
                          from unnest(s_chat, s_sender, s_seq, s_was, s_floor, s_status)
                            as y(chat, who, upto, was, floor, status) where y.status = 'new'
                        union all
                        select y.chat, y.who, y.upto, y.upto, y.was, y.floor
                          from unnest(r_chat, r_reader, r_seq, r_was, r_floor, r_status)
                            as y(chat, who, upto, was, floor, status) where y.status = 'read') z
                 group by z.chat, z.who) w
         where m.chat_id = w.chat and m.user_id = w.who and w.was < w.upto
        returning w.*)
    select array_agg(v.chat) filter (where v.was = v.floor), array_agg(v.chat) filter (where v.marked > v.was),
           array_agg(v.who) filter (where v.marked > v.was), array_agg(v.was) filter (where v.marked > v.was),
           array_agg(v.marked) filter (where v.marked > v.was), count(*)
      into g_chat, v_chat, v_user, v_was, v_marked, written
      from moved v;
    if written < (select count(*)
                    from (select y.chat, y.who from unnest(s_chat, s_sender, s_seq, s_was, s_status)
                            as y(chat, who, upto, was, status) where y.status = 'new' and y.was < y.upto
                          union
                          select y.chat, y.who from unnest(r_chat, r_reader, r_seq, r_was, r_status)
                            as y(chat, who, upto, was, status) where y.status = 'read' and y.was < y.upto) z) then
        raise serialization_failure using message = 'a member has gone';  -- by hand, as the chats are locked
    end if;

    -- Explicit moves of a chat are one entry, told to the readers themselves and to the authors of what was passed (of
    -- the last 200 messages at most).
    if v_chat is not null then
        select array_agg(t.chat order by t.chat), array_agg(t.data order by t.chat), count(*)
          into k_chat, k_data, entries
          from (select v.chat,
                       jsonb_build_object(
                           'reads', jsonb_agg(jsonb_build_array(v.who, v.was + 1, v.marked, l.id) order by v.who),
                           'to', (select jsonb_agg(distinct a.id) from (
                                      select unnest(array_agg(v.who)) as id
                                      union
                                      select g.sender_id from messages g
                                       where g.chat_id = v.chat and g.seq > greatest(min(v.was), max(v.marked) - 200)
                                         and g.seq <= max(v.marked)) a)) as data
                  from unnest(v_chat, v_user, v_was, v_marked) as v(chat, who, was, marked)
                  join messages l on l.chat_id = v.chat and l.seq = v.marked
                 group by v.chat) t;
    end if;

    -- 4. A chat's floor is the lowest read marker of its members (floor_seq) and how many stand there (floor_count).
    -- Floors without anybody left rise: one scan of the members per rise, not per mark.
    if g_chat is not null then
        select array_agg(c.id), array_agg(coalesce(x.lowest, c.floor_seq)), array_agg(coalesce(x.standing, c.floor_count - g.n)),
               array_agg(c.read_seq), array_agg(case when x.present > 1 then greatest(c.read_seq, x.lowest) else c.read_seq end)
          into f_chat, f_floor, f_count, f_was, f_now
          from (select y.chat, count(*)::int as n from unnest(g_chat) as y(chat) group by y.chat) g
          join chats c on c.id = g.chat
          left join lateral (
              select m.read_seq as lowest, count(*)::int as standing, sum(count(*)) over () as present
                from members m where m.chat_id = c.id group by m.read_seq order by m.read_seq limit 1) x
            on c.floor_count - g.n <= 0;
        entries := entries + (select count(*) from unnest(f_was, f_now) as y(was, now) where y.now > y.was);
        select array_agg(coalesce(f_floor[array_position(f_chat, x.chat)], x.floor) order by x.n) into s_floor
          from unnest(s_chat, s_floor) with ordinality as x(chat, floor, n);
    end if;

    -- 5. The head, last lock. Positions in the order of the drafts, then the marks, then the floors.
    if fresh + entries > 0 then
        select t.last, t.stamp, t.epoch into log_append.last, log_append.stamp, log_append.epoch from log_take(fresh + entries) t;
        base := last - fresh - entries;
        -- Rights are kept by the chats' locks, but sessions are not locked: one that has ended meanwhile, before this
        -- position, says nothing more. The batch is tried again and finds it out.
        if exists (select from sessions s where s.id = any (s_speaking || r_speaking) and s.ended_at is not null) then
            raise serialization_failure using message = 'a session has ended';
        end if;
    end if;
    if fresh > 0 then
        insert into messages (chat_id, seq, id, sender_id, key, operation_id, body_hash, text, reply_to, sent_at, copy_id)
        select x.chat, x.seq, base + x.rank, x.sender, x.key, x.operation, x.hash, x.body, x.reply, log_append.stamp, x.copy
          from unnest(s_chat, s_seq, s_rank, s_sender, s_key, s_operation, s_hash, s_text, s_reply, s_copy, s_status)
            as x(chat, seq, rank, sender, key, operation, hash, body, reply, copy, status)
         where x.status = 'new';
    end if;
    -- A chat row is written once, whether it has new messages, a new floor, or both.
    if fresh > 0 or f_chat is not null then
        update chats c
           set head_seq = greatest(c.head_seq, h.seq), head_id = greatest(c.head_id, h.id),
               floor_seq = coalesce(h.floor, c.floor_seq), floor_count = coalesce(h.standing, c.floor_count),
               read_seq = greatest(c.read_seq, h.now)
          from (select y.chat, max(y.seq) as seq, max(y.id) as id, max(y.floor) as floor, max(y.standing) as standing,
                       max(y.now) as now
                  from (select x.chat, x.seq, base + x.rank as id, null::bigint as floor, null::int as standing, null::bigint as now
                          from unnest(s_chat, s_seq, s_rank, s_status) as x(chat, seq, rank, status) where x.status = 'new'
                        union all
                        select x.chat, null, null, x.floor, x.standing, x.now
                          from unnest(f_chat, f_floor, f_count, f_now) as x(chat, floor, standing, now)) y
                 group by y.chat) h
         where c.id = h.chat;
    end if;
    if entries > 0 then
        with written as (
            insert into log_entries (position, topic_chat, kind, data, at)
            select base + fresh + row_number() over (order by y.place, y.i), y.chat, y.kind, y.data, log_append.stamp
              from (select 1 as place, k.i, k.chat, 'message_read' as kind, k.data
                      from unnest(k_chat, k_data) with ordinality as k(chat, data, i)
                    union all
                    select 2, f.i, f.chat, 'message_read_by_all',
                           jsonb_build_object('from_seq', f.was + 1, 'to_seq', f.now, 'message_id',
                               (select g.id from messages g where g.chat_id = f.chat and g.seq = f.now))
                      from unnest(f_chat, f_was, f_now) with ordinality as f(chat, was, now, i) where f.now > f.was) y
            returning position, topic_chat, kind, data)
        select array_agg(w.kind order by w.position), array_agg(w.topic_chat order by w.position),
               array_agg(w.data order by w.position)
          into e_kind, e_chat, e_data from written w;
    end if;

    -- 6. A reader is told how far he has read, whichever message he asked for: an answer never takes a marker back.
    if cardinality(r_chat) > 0 then
        select array_agg(coalesce(m.read_seq, x.seq) order by x.n) into r_seq
          from unnest(r_chat, r_reader, r_seq) with ordinality as x(chat, reader, seq, n)
          left join members m on m.chat_id = x.chat and m.user_id = x.reader;
    end if;
end $$;
