-- What a person would be told after a position, in numbers: per chat the first missed message and the last one.
create or replace function log_missed(the_user bigint, p bigint)
returns table (head bigint, epoch text, chat_id bigint, first_seq bigint, last_seq bigint) language sql stable as $$
    with h as materialized (select l.position, l.epoch from log_head l order by l.position desc limit 1)
    select h.position, h.epoch, c.id, log_first_after(c.id, c.head_seq, c.head_id, greatest(p, m.since)), c.head_seq
      from h
      left join members m on m.user_id = the_user
      left join chats c on c.id = m.chat_id and c.deleted_at is null
$$;
