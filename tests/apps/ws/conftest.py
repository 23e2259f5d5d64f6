"""A server whose heart beats faster, so that its deadlines can be waited for."""

from collections.abc import AsyncIterator

import pytest

from messenger.app import create_app
from messenger.apps.ws.handlers import PACE
from messenger.settings import Config
from messenger.web.server import make_runner
from messenger.web.sockets.links import Pace
from tests.actors import Server


@pytest.fixture
async def hurried(dsn: str, config: Config) -> AsyncIterator[Server]:
    app = create_app(config, dsn)
    app[PACE] = Pace(heartbeat=0.3, pong=0.2, close=0.3, command=0.5)
    async with Server.running(make_runner(app)) as running:
        yield running
