"""The doctor: a line for everything, and for what is wrong a remedy. And how commands refuse."""

import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from tests.run.admin.conftest import ROOT, Admin, Done, refusal, run_admin


def signs(done: Done) -> dict[str, dict[str, object]]:
    return {one["name"]: one for one in json.loads(done.stdout)["checks"]}


def test_an_installation_of_its_own_is_healthy(tmp_path: Path) -> None:
    assert run_admin("sessions", "list", "nobody", folder=tmp_path).returncode == 1, "the schema is brought up"

    done = run_admin("doctor", folder=tmp_path)

    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert all(line.startswith("✔ ") for line in lines)
    for name in (
        "settings",
        "keys",
        "disk of DATA_DIR",
        "database",
        "durability",
        "checksums",
        "clock",
        "schema",
        "wire",
    ):
        assert any(line.startswith(f"✔ {name}: ") for line in lines), name


async def test_what_is_wrong_is_named_with_its_remedy(admin: Admin, sql: asyncpg.Connection) -> None:
    await sql.execute("delete from alembic_version")
    await sql.execute("drop extension btree_gin cascade")

    done = await admin(
        "doctor",
        "--json",
        WIRE="none",
        WORKERS_NUM="99",
        REDIS_URL="redis://127.0.0.1:1/0",
        RMQ_URL="amqp://127.0.0.1:1/",
    )

    assert done.returncode == 1
    found = signs(done)
    bad = {name for name, one in found.items() if not one["ok"]}
    # The tests' server forgets what it knows at a power cut, which is said as well.
    assert bad == {"durability", "schema", "extensions", "connections", "redis", "rabbitmq"}
    assert all(found[name]["remedy"] for name in bad)
    assert found["schema"]["remedy"] == "messenger-db upgrade head"


async def test_keys_that_others_may_read_are_named(admin: Admin, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 43 + "=")
    (tmp_path / "key").chmod(0o644)

    done = await admin("doctor", "--json", SECRET_KEY="", SECRET_KEY_FILE=str(tmp_path / "key"))

    assert signs(done)["keys"]["remedy"] == f"chmod 600 {tmp_path / 'key'}"


async def test_without_a_database_the_rest_is_still_looked_at(admin: Admin) -> None:
    done = await admin("doctor", DATABASE_URL="postgresql://ann:planted@127.0.0.1:1/none")

    assert done.returncode == 1
    assert "✖ database: No database at 127.0.0.1:1 as ann" in done.stdout
    assert "✔ open files" in done.stdout
    assert "planted" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", [["seed"], ["fsck"], ["reindex"], ["new-epoch", "--yes"], ["sessions", "list", "x"]]
)
async def test_without_a_database_commands_say_where_they_looked(admin: Admin, command: list[str]) -> None:
    said = refusal(await admin(*command, DATABASE_URL="postgresql://ann@127.0.0.1:1/none"), 3)

    assert "No database at 127.0.0.1:1 as ann" in said


async def test_what_cannot_be_understood_is_said_with_a_command_to_type(admin: Admin) -> None:
    assert "--help" in refusal(await admin("fsk"), 2)
    assert "--help" in refusal(await admin(), 2)
    assert "PORT='many'" in refusal(await admin("fsck", PORT="many"), 2)
    assert "✖ settings: PORT='many'" in (await admin("doctor", PORT="many")).stdout


async def test_a_schema_of_another_time_is_left_alone(admin: Admin, sql: asyncpg.Connection) -> None:
    await sql.execute("update alembic_version set version_num = 'from_tomorrow'")

    assert "from_tomorrow" in refusal(await admin("fsck", "--fix"), 4)

    await sql.execute("update alembic_version set version_num = '0008'")

    assert "before the first release" in refusal(await admin("fsck", "--fix"), 4)
    assert signs(await admin("doctor", "--json"))["schema"]["remedy"] == "Name an empty database"


def test_help_begins_with_examples_and_loads_nothing_heavy() -> None:
    script = (
        "import sys; from messenger.run.admin.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: print(end.code, sorted({'aiohttp', 'sqlalchemy', 'asyncpg'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "0 []"
    assert done.stdout.index("examples:") < done.stdout.index("create-user")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--session-file", "session"), "--session-file is for what --url leads to, which is not given."),
        (("--url", "http://x", "--session-file", "nowhere"), "--session-file=nowhere cannot be read"),
        (("--url", "http://x", "--session-file", "session"), "--session-file=session holds no session_id"),
    ],
)
def test_a_session_that_cannot_be_used_is_refused(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    (tmp_path / "session").write_text("my password\n")

    done = run_admin("doctor", *arguments, folder=tmp_path)

    assert done.returncode == 2
    assert sentence in done.stderr
    assert "my password" not in done.stderr


async def test_an_address_where_nothing_answers_is_named(admin: Admin) -> None:
    done = await admin("doctor", "--json", "--url", "http://127.0.0.1:1")

    assert signs(done)["proxy"]["seen"] == "http://127.0.0.1:1 does not answer: ClientConnectorError"
