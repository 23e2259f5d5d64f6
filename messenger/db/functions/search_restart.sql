-- From the start again, beside the documents that are there: they serve until they are looked at anew.
create or replace function search_restart() returns void language sql as $$
    insert into log_followers (name, position)
    select 'search', 0 union all (select 'search begun', position from log_head order by position desc limit 1)
        on conflict (name) do update set position = excluded.position, at = clock_timestamp()
$$;
