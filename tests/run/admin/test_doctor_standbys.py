"""The doctor on a PostgreSQL with a standby: who follows, whom commits wait for, what is kept back."""

from collections.abc import AsyncIterator

import pytest

from messenger.run.admin.doctor_database import connected
from messenger.run.admin.doctor_standbys import ask_standbys
from messenger.run.admin.finding import Finding
from proof.lab.postgres import Postgres
from proof.lab.waiting import happens


@pytest.fixture(scope="module")
async def primary(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Postgres]:
    async with Postgres.made(tmp_path_factory.mktemp("primary")).running() as one:
        yield one


async def asked(postgres: Postgres, user: str = "messenger") -> dict[str, Finding]:
    async with connected(postgres.dsn.replace("//messenger@", f"//{user}@")) as connection:
        return {finding.name: finding async for finding in ask_standbys(connection)}


async def test_a_server_without_standbys_is_asked_nothing(primary: Postgres) -> None:
    assert await asked(primary) == {}


async def test_a_standby_that_follows_and_is_waited_for_is_fine_and_one_that_is_not_is_named(primary: Postgres) -> None:
    async with primary.copied("second", follows=True).running() as standby:

        async def follows() -> bool:
            found = await asked(primary)
            return "standbys" in found and found["standbys"].seen.startswith("second streaming")

        await happens(follows, "the standby follows")
        found = await asked(primary)
        assert found["standbys"].ok
        assert not found["commits"].ok
        assert "one disk" in found["commits"].seen

        await primary.wait_for_standby("second")
        assert (await asked(primary))["commits"] == Finding("commits", True, "wait for second")
        assert await asked(standby) == {}, "a standby knows nothing of the others"

    found = await asked(primary)
    await primary.wait_for_standby("")
    assert (found["standbys"].seen, found["commits"].ok) == ("none is connected", False)
    assert "nobody can write" in found["commits"].remedy


async def test_the_log_that_is_kept_for_nobody_is_named(primary: Postgres) -> None:
    async with connected(primary.dsn) as connection:
        await connection.execute("select pg_create_physical_replication_slot('third', true)")
        found = (await asked(primary))["slot"]
        await connection.execute("select pg_drop_replication_slot('third')")

    assert not found.ok
    assert found.seen.endswith("MiB of the log for nobody")
    assert "pg_drop_replication_slot('third')" in found.remedy


async def test_an_account_that_may_not_look_is_told_what_it_needs(primary: Postgres) -> None:
    async with connected(primary.dsn) as connection:
        await connection.execute("create role plain login")

    async with primary.copied("fourth", follows=True).running():

        async def is_there() -> bool:
            return "standbys" in await asked(primary, "plain")

        await happens(is_there, "the standby is connected")
        assert "pg_monitor" in (await asked(primary, "plain"))["standbys"].remedy
