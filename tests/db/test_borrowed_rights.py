"""Functions that run with their owner's rights do nothing for those who call them but what they are for."""

import asyncpg


async def test_what_runs_with_its_owners_rights_looks_into_temporary_tables_last(sql: asyncpg.Connection) -> None:
    found = await sql.fetch(
        """
        select p.pronamespace::regnamespace || '.' || p.proname as name, coalesce(p.proconfig, '{}') as settings
          from pg_proc p
         where p.prosecdef and p.pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
        """
    )

    assert "messenger.send" in {row["name"] for row in found}
    for row in found:
        assert "search_path=public, pg_temp" in row["settings"], row["name"]


async def test_a_table_that_a_caller_planted_is_not_written_with_the_owners_rights(sql: asyncpg.Connection) -> None:
    await sql.execute("insert into users (name, password_hash) values ('ann', 'secret of ann')")
    undone = sql.transaction()  # roles belong to the whole server
    await undone.start()
    await sql.execute(GRANTS)
    await sql.execute(PLANTED)

    draft = await sql.fetchval("select messenger.send(1, 1, 'Order 42 is on its way')")

    assert await sql.fetch("select * from pg_temp.loot") == []
    await sql.execute("reset session authorization")
    assert await sql.fetchval("select id from public.inbox_drafts") == draft
    await undone.rollback()


GRANTS = """
    create role shop;
    grant usage on schema messenger to shop;
    grant execute on function messenger.send to shop;
    set session authorization shop;
"""
PLANTED = """
    create temp table loot (words text);
    create temp table inbox_drafts (
        id bigint generated always as identity, chat_id bigint, sender_id bigint, key text, text text, reply_to bigint);
    create function pg_temp.steal() returns trigger language plpgsql as
    $$ begin insert into pg_temp.loot select password_hash from public.users; return new; end $$;
    create trigger steal before insert on pg_temp.inbox_drafts for each row execute function pg_temp.steal();
"""
