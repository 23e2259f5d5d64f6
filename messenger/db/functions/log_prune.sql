-- Retention, in steps of `most`: old entries go, and the mark below which nothing is promised moves with them.
-- Messages stay. The members of a deleted chat stay until its deletion is beyond what is kept.
create or replace function log_prune(older_than timestamptz, most int) returns int language plpgsql as $$
declare
    upto bigint;
    gone int;
begin
    if not pg_try_advisory_xact_lock(7236838) then
        return 0;  -- another process does it
    end if;
    select max(x.position) into upto
      from (select e.position from log_entries e where e.at < older_than order by e.position limit most) x;
    if upto is null then
        return 0;
    end if;
    delete from log_entries e where e.position <= upto;
    get diagnostics gone = row_count;
    update log_kept set after_position = greatest(after_position, upto);
    delete from members m using chats c where c.id = m.chat_id and c.deleted_at <= upto;
    return gone;
end $$;
