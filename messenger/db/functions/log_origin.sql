-- Which server wrote: its cluster, database and WAL timeline. A promotion, restore or dump changes it.
create or replace function log_origin() returns text language sql volatile as $$
    select (select system_identifier from pg_control_system())::text || '/'
        || (select oid from pg_database where datname = current_database())::text || '/'
        || left(pg_walfile_name(pg_current_wal_lsn()), 8)
$$;
