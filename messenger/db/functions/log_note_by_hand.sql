-- Called at the commit of a transaction that changed a right, a name or a session. The server's own transactions have written
-- what they did to the log by then. For any other one (somebody at psql, another application) this writes one entry about
-- nothing in particular: nobody is told of it, and every process forgets what it remembers.
create or replace function log_note_by_hand() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if (select h.xmin <> pg_current_xact_id()::xid from log_head h order by h.position desc limit 1) then
        insert into log_entries (position, kind, at) select t.last, 'changed_by_hand', t.stamp from log_take(1) t;
    end if;
    return null;
end $$;
