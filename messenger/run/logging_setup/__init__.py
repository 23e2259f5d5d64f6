"""Where log lines go: stdout and rotating files, one shape each, never with a secret in them.

An event is a sentence and its keys: `log.info("request", extra={"keys": {"route": …}})`. Workers hand their lines to
a thread, so the event loop never waits for a disk or a pipe; the master, which forks, writes them itself. A line that
cannot be written is dropped and counted: a full disk must not stop the service.
"""

import logging
import os
import sys
from collections.abc import Callable

from messenger.run.logging_setup.formats import HumanLines, JsonLines
from messenger.run.logging_setup.queue_writer import QueueWriter, Sink, Stdout
from messenger.run.logging_setup.rotating_file import SharedFile
from messenger.settings import Config

QUIET = ("sqlalchemy", "asyncio", "asyncpg", "alembic")  # below WARNING they quote data, or chatter
CALM = ("aio_pika", "aiormq")  # an error at every try to connect; that the broker is away is said once, by us


def setup(config: Config, *, terminal: bool, threaded: bool = False) -> Callable[[], None]:
    """Anew in each process; call what is returned at its end. `threaded` is for event loops, not for who forks."""
    handlers = _handlers(config, terminal=terminal, pid=os.getpid() if threaded else None)
    # No line shows them, and to find them out takes as long as to write it.
    logging.logThreads = logging.logMultiprocessing = False
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False
    logging.logProcesses = not threaded
    logging._srcfile = None  # as its manual advises: nobody reads the place in the source
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(config.logs.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in CALM:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    writer = QueueWriter(handlers) if threaded else None
    if writer is not None:
        root.handlers[:] = [writer]
    for handler in handlers:
        if isinstance(handler, SharedFile):
            handler.try_out()

    def stop() -> None:
        root.handlers[:] = handlers  # what is still said is written in place
        if writer is not None:
            writer.stop()

    return stop


def _handlers(config: Config, *, terminal: bool, pid: int | None) -> list[Sink]:
    json_lines = JsonLines(pid)
    stdout = Stdout(sys.stdout)
    stdout.setFormatter(HumanLines(coloured=not os.environ.get("NO_COLOR")) if terminal else json_lines)
    if terminal:
        stdout.addFilter(_is_for_people)
    handlers: list[Sink] = [stdout]
    for name, level in (("debug.log", logging.NOTSET), ("error.log", logging.ERROR)):
        file = SharedFile(config.log_dir / name)
        file.setLevel(level)
        file.setFormatter(json_lines)
        handlers.append(file)
    return handlers


def _is_for_people(record: logging.LogRecord) -> bool:
    """Under the banner an account of the start would be noise; the files have it."""
    return record.levelno >= logging.WARNING or not record.name.startswith(("gunicorn", "messenger.run.serve"))
