"""messenger-consumer: does the search tasks that messenger-api hands to RabbitMQ. As many of them as one likes.

Settings, database and refusals are those of messenger-api; it has no port.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import messenger
from messenger.run.cli import USAGE, Refusal, run_cli
from messenger.run.systemd import ALIVE, READY, STOPPING, Systemd

if TYPE_CHECKING:
    from messenger.db.private.cluster import PrivatePostgres
    from messenger.settings import Config

log = logging.getLogger(__name__)

POLL = 1.0  # seconds between two signs of life, and checks of the private database


def main(argv: Sequence[str] | None = None) -> NoReturn:
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="messenger-consumer",
        description="Does the search tasks that messenger-api hands to RabbitMQ.",
        epilog="Settings: environment and .env. Exit codes: 0 fine, 2 usage, 3 database, 4 schema, 1 other.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"messenger {messenger.__version__}")
    parser.parse_args(argv)
    return run_cli(consume)


def consume() -> int:
    from messenger.run import logging_setup  # noqa: PLC0415
    from messenger.run.checks import check_database, check_redis, check_schema  # noqa: PLC0415
    from messenger.run.serve import forgetful, private_database, set_limits  # noqa: PLC0415
    from messenger.settings import read  # noqa: PLC0415

    systemd = Systemd()
    config = read(os.environ, dotenv=Path(".env"))
    _refuse_idleness(config)
    check_redis(config)
    set_limits()
    with ExitStack() as kept:
        private = private_database(config, kept)
        dsn = private.url if private else config.database.dsn()
        _, unsafe = check_database(config, dsn)
        check_schema(config, str(config.database.direct_url) or dsn)
        kept.callback(logging_setup.setup(config, terminal=sys.stdout.isatty(), threaded=True))
        for warning in (*config.warnings, *forgetful(unsafe)):
            log.warning("%s", warning)

        import uvloop  # noqa: PLC0415  (of no use to a refusal)

        uvloop.run(_work(config, dsn, private, systemd))
    return 0


def _refuse_idleness(config: "Config") -> None:
    if not config.rmq_url:
        raise Refusal(
            USAGE,
            "RMQ_URL is not set: without RabbitMQ messenger-api does the search tasks itself.",
            "Try: RMQ_URL=amqp://guest:guest@127.0.0.1:5672/ messenger-consumer",
        )
    if "search" not in config.apps:
        raise Refusal(USAGE, "APPS leaves out search: there is nothing to do.", "Add search to APPS.")


async def _work(config: "Config", dsn: str, private: "PrivatePostgres | None", systemd: Systemd) -> None:
    from messenger.apps.search import results  # noqa: PLC0415
    from messenger.apps.search.engines.consumer import Consumer  # noqa: PLC0415
    from messenger.db.database import Database  # noqa: PLC0415
    from messenger.db.liveness import Liveness  # noqa: PLC0415
    from messenger.log import wires  # noqa: PLC0415
    from messenger.log.store import append  # noqa: PLC0415

    stop = _stop_signal()
    direct = str(config.database.direct_url) or dsn
    liveness = Liveness(direct)
    pooled = bool(config.database.direct_url)
    db = Database(dsn, append=append, pool_size=config.database.pool_size, pooled=pooled, liveness=liveness)
    wire = wires.make(config.wire, direct, str(config.redis_url))
    store = results.make(config)
    consumer = Consumer(config.rmq_url.each, db, store, config.search_delay)
    db.on_news = wire.ring  # the one who asked hears at once how it goes on
    liveness.start()
    await wire.start(lambda position: None, lambda note: None)
    consumer.start()
    log.info("ready")
    systemd.tell(READY)
    await _until(stop, private, systemd)
    log.info("leaves")
    systemd.tell(STOPPING)
    await consumer.stop()
    await wire.stop()
    await store.close()
    await liveness.stop()
    await db.close()


def _stop_signal() -> asyncio.Event:
    """The first one drains, the second one is now."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def leave() -> None:
        stop.set()
        for one in signals:
            loop.remove_signal_handler(one)

    for one in signals:
        loop.add_signal_handler(one, leave)
    return stop


async def _until(stop: asyncio.Event, private: "PrivatePostgres | None", systemd: Systemd) -> None:
    """Meanwhile the private database is watched, as the server does it."""
    while not stop.is_set():
        systemd.tell(ALIVE)
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await stop.wait()
        if private is not None and not stop.is_set():
            await asyncio.to_thread(private.watch_and_log)


if __name__ == "__main__":
    main()
