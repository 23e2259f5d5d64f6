"""gunicorn as this project runs it: the master that keeps workers and database, and what happens in a worker.

Workers tell the master through a pipe: ready, and one byte per request that had to be cut at a stop.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from gunicorn.app.base import Application
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from messenger.db.private.cluster import PrivatePostgres
from messenger.run import logging_setup
from messenger.settings import Config

log = logging.getLogger(__name__)

WORKER = "aiohttp.GunicornUVLoopWebWorker"
CLOSING_SECONDS = 5  # for a worker, after its last request: contexts end, logs are written
RARELY = (20_000, 20, 50)  # the garbage collector's thresholds
READY, CUT = b"r", b"c"
QUICK_POLL, POLL = 0.02, 1.0


class GunicornLog(Logger):  # type: ignore[misc]
    """gunicorn's log goes where all logs go."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.propagate = True
        self.access_log.propagate = True


class Service(Application):  # type: ignore[misc]
    """One server: settings from Config, what gunicorn alone knows from the command line."""

    def __init__(
        self,
        config: Config,
        dsn: str,
        *,
        listener: int | None,
        options: Mapping[str, Any],
        terminal: bool,
        private: PrivatePostgres | None,
        on_ready: Callable[[], None],
    ) -> None:
        self.config = config
        self.dsn = dsn
        self.private = private
        self.on_ready = on_ready
        self.requests_cut = 0
        self.is_ready = False
        self.stop_began = time.monotonic()
        self._listener = listener
        self._options = options
        self._terminal = terminal
        self._from_workers, self._to_master = os.pipe()
        os.set_blocking(self._from_workers, False)
        os.set_blocking(self._to_master, False)
        self._worker: Any = None
        self._stop_logs: Callable[[], None] = logging_setup.setup(config, terminal=terminal)
        super().__init__(prog="messenger-api")

    def load_config(self) -> None:
        server = self.config.server
        settings: dict[str, Any] = {
            "bind": f"fd://{self._listener}" if self._listener is not None else f"{server.host}:{server.port}",
            "workers": server.workers_num,
            "worker_class": WORKER,
            "graceful_timeout": server.graceful_timeout + CLOSING_SECONDS,
            "timeout": server.timeout,
            "keepalive": server.keepalive,
            "backlog": server.backlog,
            "proc_name": "messenger",
            "logger_class": GunicornLog,
            "accesslog": None,
            "control_socket_disable": True,
            "post_fork": self._post_fork,
            "worker_exit": self._worker_exit,
            "child_exit": self._child_exit,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)
        if "config" in self._options:
            self.load_config_from_file(self._options["config"])
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[[], Any]:
        return self._make_runner

    def run(self) -> None:
        Master(self).run()

    def listen_to_workers(self) -> None:
        try:
            received = os.read(self._from_workers, 65536)
        except BlockingIOError:
            return
        self.requests_cut += received.count(CUT)
        if READY in received and not self.is_ready:
            self.is_ready = True
            self.on_ready()

    async def _make_runner(self) -> Any:
        """In the worker, with its loop running."""
        try:
            return self._assemble()
        except Exception as error:
            if not self.cfg.reload:
                raise
            await self._wait_for_better_code(error)

    async def _wait_for_better_code(self, error: Exception) -> NoReturn:
        """Half-written code is the ordinary case with --dev: callers wait in the backlog until it loads."""
        log.error("the code does not load; it is tried again when a file changes", exc_info=error)
        files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError) and error.filename:
            files.append(error.filename)
        for file in files:
            self._worker.reloader.add_extra_file(file)
        while self._worker.alive:
            self._worker.notify()
            await asyncio.sleep(QUICK_POLL)
        sys.exit(0)

    def _assemble(self) -> Any:
        from messenger.app import create_app  # noqa: PLC0415  (in the worker, so that --dev sees changed files)
        from messenger.web.server import make_runner  # noqa: PLC0415

        worker = self._worker
        loop = asyncio.get_running_loop()
        # The command line may have changed their number.
        server = replace(self.config.server, workers_num=self.cfg.workers)
        runner = make_runner(create_app(replace(self.config, server=server), self.dsn))

        def leave() -> None:
            runner.drain()
            worker.alive = False
            worker._notify_waiter_done()  # else aiohttp notices only at its next heartbeat

        def leave_now() -> None:
            runner.hurry()
            leave()

        loop.add_signal_handler(signal.SIGTERM, leave)
        loop.add_signal_handler(signal.SIGQUIT, leave_now)
        # A terminal sends Ctrl+C to all processes; the master decides what it means.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        runner.on_ready = self._worker_ready
        runner.on_stopped = lambda: self._tell(CUT * runner.requests_cut)
        return runner

    def _worker_ready(self) -> None:
        # Imports stay for good, and objects made for a message go with it: collecting at every 700th new object
        # took a fifth of the time of a send.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*RARELY)
        self._tell(READY)

    def _tell(self, what: bytes) -> None:
        try:
            os.write(self._to_master, what)
        except OSError:  # the master is gone, or has 65,536 bytes to read
            log.debug("the master does not listen")

    def _post_fork(self, arbiter: Arbiter, worker: Any) -> None:
        self._worker = worker
        # uvloop closes the file of a listener. Of gunicorn's wrapper it would close that number a second time.
        worker.sockets = [listener.sock for listener in worker.sockets]
        self._stop_logs = logging_setup.setup(self.config, terminal=self._terminal, threaded=True)

    def _worker_exit(self, arbiter: Arbiter, worker: Any) -> None:
        self._stop_logs()

    def _child_exit(self, arbiter: Arbiter, worker: Any) -> None:
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            from prometheus_client import multiprocess  # noqa: PLC0415

            multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


class Master(Arbiter):  # type: ignore[misc]
    """Ctrl+C once drains, twice ends at once; about once a second it checks the private database."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.watched_at = 0.0
        super().__init__(service)

    def handle_int(self) -> None:
        raise StopIteration  # as SIGTERM: the second one is seen by stop()

    def wait_for_signals(self, timeout: float = POLL) -> list[int]:
        signals: list[int] = super().wait_for_signals(timeout if self.service.is_ready else QUICK_POLL)
        self.service.listen_to_workers()
        self.watch_database()
        return signals

    def watch_database(self) -> None:
        now = time.monotonic()
        if self.service.private is None or now - self.watched_at < POLL:
            return
        self.watched_at = now
        self.service.private.watch_and_log()

    def stop(self, graceful: bool = True) -> None:
        self.service.stop_began = time.monotonic()
        super().stop(graceful)
        self.service.listen_to_workers()
