"""What is logged when sessions cannot be renewed."""

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from messenger.apps.auth.context import AuthContext
from messenger.apps.auth.renewal import keep_renewing
from messenger.db.database import Database
from messenger.log.store import append
from proof.lab.processes import free_port
from proof.lab.waiting import happens, running
from tests.conftest import configured


class Present:
    def sessions(self) -> Collection[int]:
        return [1]

    def end_sessions(self, ended: Collection[int]) -> None:
        raise AssertionError("nobody knows whether a session has ended")


async def test_a_database_that_is_away_is_expected_and_ends_no_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = Database(f"postgresql://127.0.0.1:{free_port()}/nobody", append=append)
    rules = replace(configured(tmp_path, {}).auth, token_lifetime=0.04)  # type: ignore[arg-type]  (four times a period)
    auth = AuthContext.prepare(rules, db, [Fernet.generate_key().decode()])

    async def is_said() -> bool:
        return len(caplog.records) >= 2

    with caplog.at_level(logging.WARNING, "messenger.apps.auth.renewal"):
        async with running(keep_renewing(auth, Present())):
            await happens(is_said, "two tries")
    auth.passwords.close()
    await db.close()

    assert {(one.levelname, one.exc_info, one.message) for one in caplog.records} == {
        ("WARNING", None, "sessions were not renewed: the database is away")
    }
