-- The functions as migration 0002 made them.

drop function log_drain_inbox(int);
drop function log_append;

-- Takes the head, the last lock of a transaction, and deals `n` positions: `last` is the greatest, one stamp for all.
create or replace function log_take(n int, out last bigint, out stamp timestamptz, out epoch text) language plpgsql as $$
declare
    newest log_head;
    here text := log_origin();
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise 'the log is written at read committed only';
    end if;
    perform pg_advisory_xact_lock(7236837);
    -- A statement of its own: its snapshot is younger than the lock.
    select * into strict newest from log_head order by position desc limit 1;
    if newest.origin <> here then
        newest.epoch := substr(md5(gen_random_uuid()::text), 1, 8);
        insert into log_epochs (epoch, after_position, origin) values (newest.epoch, newest.position, here);
    end if;
    last := newest.position + n;
    epoch := newest.epoch;
    -- Taken after the head, never before the last one: time does not run against positions.
    stamp := greatest(newest.at, date_trunc('milliseconds', clock_timestamp()));
    insert into log_head values (last, newest.epoch, here, stamp);
    if last % 64 < n then
        delete from log_head where position < newest.position - 4096;
    end if;
end $$;

-- The group commit: many sends and read marks, one round trip, one commit. Separate statements, because each must see
-- what the locks before it have made final, and so that locks are always taken in one order: chats by id, members, head.
-- One bad draft never fails its neighbours: each has its own verdict.
create function log_append(
    s_chat bigint[], s_sender bigint[], s_session bigint[], s_key text[], s_operation smallint[], s_text text[],
    s_reply bigint[],
    r_chat bigint[], r_reader bigint[], r_session bigint[], r_message bigint[],
    operation_window interval,
    out s_status text[], out s_id bigint[], out s_seq bigint[], out s_at timestamptz[], out s_name text[],
    out r_status text[], out r_seq bigint[],
    out last bigint, out stamp timestamptz, out epoch text,
    out e_kind text[], out e_chat bigint[], out e_data jsonb[]
) language plpgsql as $$
declare
    fresh int := 0;                        -- how many messages are new
    s_hash bigint[];
    s_rank bigint[];
    m_gone_chat bigint[]; m_gone int[];    -- how many members left the floor of a chat
    k_chat bigint[]; k_data jsonb[];       -- marks that moved, one entry per chat
    f_chat bigint[]; f_floor bigint[]; f_count int[]; f_was bigint[]; f_now bigint[];
    entries int;
    base bigint;
begin
    -- 1. The chats, in id order. NO KEY: a stranger's foreign key to a chat must not stop the server.
    perform 1 from chats c where c.id = any (s_chat || r_chat) order by c.id for no key update;

    -- 2. Rights, repeats and numbers, in a statement that is younger than the locks.
    if cardinality(s_chat) > 0 then
        select array_agg(j.status order by j.n), array_agg(j.id order by j.n),
               array_agg(case when j.status = 'new' then j.head_seq + j.in_chat else j.seq end order by j.n),
               array_agg(j.at order by j.n), array_agg(j.name order by j.n), array_agg(j.hash order by j.n),
               array_agg(case when j.status = 'new' then j.in_batch when j.status = 'twin' then -j.twin end order by j.n),
               count(*) filter (where j.status = 'new')
          into s_status, s_id, s_seq, s_at, s_name, s_hash, s_rank, fresh
          from (select i.*,
                       row_number() over (partition by i.chat, i.status order by i.n) as in_chat,
                       row_number() over (partition by i.status order by i.n) as in_batch
                  from (select d.n, d.chat, d.hash, d.twin, c.head_seq, coalesce(m.name, u.name) as name,
                               coalesce(o.id, w.id) as id, coalesce(o.seq, w.seq) as seq,
                               coalesce(o.sent_at, w.sent_at) as at,
                               case when d.session is not null and s.id is null then 'session-revoked'
                                    when m.user_id is null or c.id is null then 'chat-not-found'
                                    when o.id is not null or w.id is not null then
                                        case when coalesce(o.body_hash, w.body_hash) = d.hash
                                             then 'replayed' else 'idempotency-conflict' end
                                    when d.twin < d.n then 'twin'
                                    when d.reply is not null and t.id is null then 'message-not-found'
                                    else 'new' end as status
                          from (select x.n::int, x.chat, x.sender, x.session, x.key, x.operation, x.reply,
                                       hashtextextended(x.body || coalesce('#' || x.reply, ''), 0) as hash,
                                       min(x.n::int) over
                                           (partition by x.chat, x.sender, coalesce('o:' || x.operation, x.key)) as twin
                                  from unnest(s_chat, s_sender, s_session, s_key, s_operation, s_text, s_reply)
                                       with ordinality as x(chat, sender, session, key, operation, body, reply, n)) d
                          left join chats c on c.id = d.chat and c.deleted_at is null
                          left join members m on m.chat_id = d.chat and m.user_id = d.sender
                          left join users u on u.id = d.sender
                          left join sessions s on s.id = d.session and s.ended_at is null
                          left join messages o on o.chat_id = d.chat and o.sender_id = d.sender and o.key = d.key
                          left join lateral (
                              select g.id, g.seq, g.body_hash, g.sent_at from messages g
                               where g.chat_id = d.chat and g.sender_id = d.sender and g.operation_id = d.operation
                                 and g.sent_at > clock_timestamp() - operation_window
                               order by g.seq desc limit 1) w on d.operation is not null
                          left join messages t on d.reply is not null and t.id = d.reply and t.chat_id = d.chat) i) j;
    end if;
    if cardinality(r_chat) > 0 then
        select array_agg(j.status order by j.n), array_agg(j.seq order by j.n) into r_status, r_seq
          from (select d.n, g.seq,
                       case when d.session is not null and s.id is null then 'session-revoked'
                            when m.user_id is null or c.id is null then 'chat-not-found'
                            when g.id is null then 'message-not-found'
                            else 'read' end as status
                  from unnest(r_chat, r_reader, r_session, r_message) with ordinality as d(chat, reader, session, message, n)
                  left join chats c on c.id = d.chat and c.deleted_at is null
                  left join members m on m.chat_id = d.chat and m.user_id = d.reader
                  left join sessions s on s.id = d.session and s.ended_at is null
                  left join messages g on g.id = d.message and g.chat_id = d.chat) j;
    end if;

    -- 3. Markers: the senders' own and the explicit ones; never back. Explicit moves of a chat are one entry, told to
    --    the readers themselves and to the authors of what was passed (of the last 200 messages at most).
    with wanted as (
        select z.chat, z.who, max(z.upto) as upto, max(z.upto) filter (where z.explicit) as marked
          from (select y.chat, y.who, y.upto, false as explicit
                  from unnest(s_chat, s_sender, s_seq, s_status) as y(chat, who, upto, status) where y.status = 'new'
                union all
                select y.chat, y.who, y.upto, true
                  from unnest(r_chat, r_reader, r_seq, r_status) as y(chat, who, upto, status) where y.status = 'read') z
         group by z.chat, z.who),
    moved as (
        update members m set read_seq = w.upto
          from wanted w, members b
         where m.chat_id = w.chat and m.user_id = w.who and m.read_seq < w.upto
           and b.chat_id = m.chat_id and b.user_id = m.user_id
        returning m.chat_id, m.user_id, b.read_seq as was, w.marked),
    told as (
        select v.chat_id,
               jsonb_build_object(
                   'reads', jsonb_agg(jsonb_build_array(v.user_id, v.was + 1, v.marked, l.id) order by v.user_id),
                   'to', (select jsonb_agg(distinct a.id) from (
                              select unnest(array_agg(v.user_id)) as id
                              union
                              select g.sender_id from messages g
                               where g.chat_id = v.chat_id and g.seq > greatest(min(v.was), max(v.marked) - 200)
                                 and g.seq <= max(v.marked)) a)) as data
          from moved v
          join messages l on l.chat_id = v.chat_id and l.seq = v.marked
         where v.marked > v.was group by v.chat_id),
    gone as (
        select v.chat_id, count(*)::int as n from moved v join chats c on c.id = v.chat_id
         where v.was = c.floor_seq group by v.chat_id)
    select (select array_agg(t.chat_id order by t.chat_id) from told t), (select array_agg(t.data order by t.chat_id) from told t),
           (select array_agg(g.chat_id order by g.chat_id) from gone g), (select array_agg(g.n order by g.chat_id) from gone g)
      into k_chat, k_data, m_gone_chat, m_gone;

    -- 4. Floors that nobody holds any more rise: one scan of the members per rise, not per mark.
    if m_gone_chat is not null then
        select array_agg(c.id), array_agg(coalesce(x.lowest, c.floor_seq)), array_agg(coalesce(x.standing, c.floor_count - g.n)),
               array_agg(c.read_seq), array_agg(case when x.present > 1 then greatest(c.read_seq, x.lowest) else c.read_seq end)
          into f_chat, f_floor, f_count, f_was, f_now
          from unnest(m_gone_chat, m_gone) as g(chat, n)
          join chats c on c.id = g.chat
          left join lateral (
              select m.read_seq as lowest, count(*)::int as standing, sum(count(*)) over () as present
                from members m where m.chat_id = c.id group by m.read_seq order by m.read_seq limit 1) x
            on c.floor_count - g.n <= 0;
    end if;
    select count(*) into entries from unnest(f_was, f_now) as y(was, now) where y.now > y.was;
    entries := entries + coalesce(cardinality(k_chat), 0);

    -- 5. The head, last lock. Positions in the order of the drafts, then the marks, then the floors.
    if fresh + entries > 0 then
        select t.last, t.stamp, t.epoch into log_append.last, log_append.stamp, log_append.epoch from log_take(fresh + entries) t;
        base := last - fresh - entries;
        -- Rights are kept by the chats' locks, but sessions are not locked: one that has ended meanwhile, before this
        -- position, says nothing more. The batch is tried again and finds it out.
        if exists (select 1
                     from (select session from unnest(s_session, s_status) as x(session, status) where status = 'new'
                           union all
                           select session from unnest(r_session, r_status) as y(session, status) where status = 'read') z
                     join sessions s on s.id = z.session
                    where s.ended_at is not null) then
            raise serialization_failure using message = 'a session has ended';
        end if;
    end if;
    if fresh > 0 then
        insert into messages (chat_id, seq, id, sender_id, key, operation_id, body_hash, text, reply_to, sent_at)
        select x.chat, x.seq, base + x.rank, x.sender, x.key, x.operation, x.hash, x.body, x.reply, log_append.stamp
          from unnest(s_chat, s_seq, s_rank, s_sender, s_key, s_operation, s_hash, s_text, s_reply, s_status)
            as x(chat, seq, rank, sender, key, operation, hash, body, reply, status)
         where x.status = 'new';
    end if;
    if fresh > 0 or f_chat is not null then
        update chats c
           set head_seq = coalesce(h.seq, c.head_seq), head_id = coalesce(h.id, c.head_id),
               floor_seq = coalesce(f.floor, c.floor_seq), floor_count = coalesce(f.standing, c.floor_count),
               read_seq = coalesce(f.now, c.read_seq)
          from (select y.chat, max(y.seq) as seq, max(base + y.rank) as id
                  from unnest(s_chat, s_seq, s_rank, s_status) as y(chat, seq, rank, status)
                 where y.status = 'new' group by y.chat) h
          full join unnest(f_chat, f_floor, f_count, f_now) as f(chat, floor, standing, now) on f.chat = h.chat
         where c.id = coalesce(h.chat, f.chat);
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

    -- 6. Each draft's answer; the second of two equal keys in one batch gets what the first got.
    if s_status is not null then
        select array_agg(coalesce(o.status, x.status) order by x.n), array_agg(coalesce(o.id, x.id) order by x.n),
               array_agg(coalesce(o.seq, x.seq) order by x.n), array_agg(coalesce(o.at, x.at) order by x.n)
          into s_status, s_id, s_seq, s_at
          from (select y.n, y.status, y.hash, y.rank, y.seq,
                       case when y.status = 'new' then base + y.rank else y.id end as id,
                       case when y.status = 'new' then log_append.stamp else y.at end as at
                  from unnest(s_status, s_id, s_seq, s_at, s_hash, s_rank) with ordinality
                    as y(status, id, seq, at, hash, rank, n)) x
          left join lateral (
              select case when s_status[-x.rank] in ('new', 'replayed') and s_hash[-x.rank] = x.hash then 'replayed'
                          when s_status[-x.rank] in ('new', 'replayed') then 'idempotency-conflict'
                          else s_status[-x.rank] end as status,
                     case when s_status[-x.rank] = 'new' then base + s_rank[-x.rank] else s_id[-x.rank] end as id,
                     s_seq[-x.rank] as seq,
                     case when s_status[-x.rank] = 'new' then log_append.stamp else s_at[-x.rank] end as at) o
            on x.status = 'twin';
    end if;
end $$;

-- Takes up to `most` drafts out of the inbox and appends them in the same transaction. Chats that a stranger keeps
-- locked are left for the next time. Answers the last position, or null when there was nothing to do.
create function log_drain_inbox(most int) returns bigint language plpgsql as $$
declare
    d_id bigint[]; d_chat bigint[]; d_sender bigint[]; d_key text[]; d_text text[]; d_reply bigint[];
    free bigint[];
    verdict record;
begin
    if not pg_try_advisory_xact_lock(7236839) then
        return null;  -- one taker at a time keeps the order
    end if;
    select array_agg(x.id) into free
      from (select c.id from chats c where c.id in (select i.chat_id from inbox_drafts i)
             order by c.id for no key update skip locked) x;
    with taken as (
        delete from inbox_drafts i
         where i.id in (select j.id from inbox_drafts j
                         where j.chat_id = any (free) or not exists (select from chats c where c.id = j.chat_id)
                         order by j.id limit most)
        returning i.*)
    select array_agg(t.id order by t.id), array_agg(t.chat_id order by t.id), array_agg(t.sender_id order by t.id),
           array_agg(t.key order by t.id), array_agg(t.text order by t.id), array_agg(t.reply_to order by t.id)
      into d_id, d_chat, d_sender, d_key, d_text, d_reply
      from taken t;
    if d_id is null then
        return null;
    end if;
    select * into verdict from log_append(
        d_chat, d_sender, array_fill(null::bigint, array[cardinality(d_id)]), d_key,
        array_fill(null::smallint, array[cardinality(d_id)]), d_text, d_reply,
        '{}', '{}', '{}', '{}', interval '0');
    insert into inbox_refused (id, chat_id, sender_id, key, text, reason)
    select x.id, x.chat, x.sender, x.key, x.body, x.status
      from unnest(d_id, d_chat, d_sender, d_key, d_text, verdict.s_status) as x(id, chat, sender, key, body, status)
     where x.status not in ('new', 'replayed');
    return verdict.last;
end $$;
