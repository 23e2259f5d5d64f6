-- One page of a person's log after a position: one statement, one snapshot, on the primary or a replica.
-- Only memberships that run now count, from where they began; of a deleted chat only its deletion is told.
-- Messages of the chats in `passed` up to `passed_upto` are left out: the client was told to load them as pages.
create or replace function log_page(the_user bigint, p bigint, most int, passed bigint[], passed_upto bigint)
returns table (
    head bigint, epoch text, kept bigint, "position" bigint, kind text, topic_chat bigint, topic_user bigint,
    actor_id bigint, subject_id bigint, data jsonb, at timestamptz
) language sql stable as $$
    with h as materialized (
        select l.position, l.epoch, k.after_position as kept from log_head l, log_kept k order by l.position desc limit 1),
    mine as materialized (
        select m.chat_id, c.deleted_at, greatest(p, m.since) as after,
               case when c.deleted_at is null and c.head_id > greatest(p, m.since, s.upto)
                    then log_first_after(c.id, c.head_seq, c.head_id, greatest(p, m.since, s.upto)) end as first
          from members m
          join chats c on c.id = m.chat_id
          cross join lateral (select case when c.id = any (passed) then passed_upto else 0 end as upto) s
         where m.user_id = the_user),
    said as (
        select g.id, 'new_message', g.chat_id, null::bigint, g.sender_id, g.id, null::jsonb, g.sent_at
          from mine, lateral (select * from messages g where g.chat_id = mine.chat_id and g.seq >= mine.first
                               order by g.seq limit most) g
         where mine.first is not null),
    done as (
        select e.position, e.kind, e.topic_chat, e.topic_user, e.actor_id, e.subject_id, e.data, e.at
          from mine, lateral (select * from log_entries e
                               where e.topic_chat = mine.chat_id and e.position > mine.after
                                 and e.topic_user is distinct from the_user
                                 and (e.data -> 'to' is null or e.data -> 'to' @> to_jsonb(the_user))
                                 and (mine.deleted_at is null or e.kind = 'chat_deleted')
                               order by e.position limit most) e),
    own as (
        select e.position, e.kind, e.topic_chat, e.topic_user, e.actor_id, e.subject_id, e.data, e.at
          from log_entries e where e.topic_user = the_user and e.position > p order by e.position limit most)
    select h.position, h.epoch, h.kept, x.*
      from h
      left join lateral (
          select * from (select * from said union all select * from done union all select * from own)
              as y("position", kind, topic_chat, topic_user, actor_id, subject_id, data, at)
           where y.position <= h.position order by y.position limit most) x on true
     order by x.position
$$;
