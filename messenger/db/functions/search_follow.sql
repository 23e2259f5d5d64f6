-- Follows the log by up to `most` entries, in one transaction with its position. Answers how far it stands, the head, and
-- how many documents were written or removed; nulls while somebody else follows. With a question waiting (`is_asked`) that
-- step is waited for, a second at most.
create or replace function search_follow(
    most int, is_asked boolean default false, out upto bigint, out head bigint, out changed int
) language plpgsql set lock_timeout = '1s' as $$
declare
    here bigint;
    found int;
begin
    if is_asked then
        perform pg_advisory_xact_lock(7236840);
    elsif not pg_try_advisory_xact_lock(7236840) then
        return;
    end if;
    select f.position into here from log_followers f where f.name = 'search';
    if here is null then
        perform search_restart();
        here := 0;
    end if;
    -- Edits that were pruned before they were followed have left no trace: everything is looked at anew. What was read
    -- since the follower began (the head of that moment) knows of them.
    if (select k.after_position from log_kept k) > greatest(here, (select f.position from log_followers f where f.name = 'search begun'))
    then
        perform search_restart();
        here := 0;
    end if;
    select h.position into strict head from log_head h order by h.position desc limit 1;
    select max(l.position), count(*) into upto, found
      from (select g.position from log g where g.position > here and g.position <= head order by g.position limit most) l;
    if found < most then
        upto := head;
    end if;
    changed := search_index(here, upto, array(
        select e.subject_id from log_entries e
         where e.position > here and e.position <= upto and e.kind in ('message_edited', 'message_deleted')));
    update log_followers f set position = upto, at = clock_timestamp() where f.name = 'search' and f.position <> upto;
end $$;
