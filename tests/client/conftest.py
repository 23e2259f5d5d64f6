"""Clients as programs use them, in the sessions of people who are there already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from messenger.client import Client
from tests.actors import Person


@asynccontextmanager
async def client_of(person: Person, url: str = "", **options: str) -> AsyncIterator[Client]:
    session = person.credentials["session_id"]
    async with Client(url or person.server.url, session_id=session, **options) as client:
        yield client


async def has_socket(client: Client) -> bool:
    return client._line._socket is not None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are as in earnest, and shorter."""
    monkeypatch.setattr("messenger.client.patience.LONGEST", 0.3)
