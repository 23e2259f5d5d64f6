-- Takes the head, the last lock of a transaction, and deals `n` positions: `last` is the greatest, one stamp for all.
create or replace function log_take(n int, out last bigint, out stamp timestamptz, out epoch text) language plpgsql as $$
declare
    newest log_head;
    cluster text := current_setting('messenger.cluster', true);
    here text;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise 'the log is written at read committed only';
    end if;
    -- Cluster and database stay the same for as long as a connection lives; reading the control file is dear.
    if coalesce(cluster, '') = '' then
        cluster := substring(log_origin() from '^(.*)/[^/]*$');
        perform set_config('messenger.cluster', cluster, false);
    end if;
    here := cluster || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
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
    if last / 512 > newest.position / 512 then
        delete from log_head where position < newest.position - 4096;
    end if;
end $$;
