"""Where log lines go: stdout and rotating files, one shape each, never with a secret in them.

An event is a sentence and its keys: `log.info("request", extra={"keys": {"route": …}})`. Workers hand their lines to
a thread, so the event loop never waits for a disk or a pipe; the master, which forks, writes them itself. A line that
cannot be written is dropped and counted: a full disk must not stop the service.
"""

import fcntl
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import Full, Queue
from typing import Any, TextIO

from messenger.settings import Config

log = logging.getLogger(__name__)

FILE_LIMIT = 10 * 1024 * 1024
OLD_FILES = 5
WAITING_LINES = 10_000
GOODBYE_SECONDS = 2.0
QUIET = ("sqlalchemy", "asyncio", "asyncpg", "alembic")  # below WARNING they quote data, or chatter

HIDDEN = "[hidden]"
# A second net: what we log on purpose holds no secret, what a library logs may.
SECRETS = re.compile(
    r"""(?ix)
    (?P<name> authorization | cookie | [\w-]* password | passwd | session_id | [\w-]* token | ticket | secret[\w-]* )
    (?P<link> ["']? \s* [:=] \s* ["']? (?: (?:session_id|bearer|basic) \s+ )? )
    [^\s"',;&)}\]]+
    """
)
BEARER = re.compile(r"(?i)\b(session_id|bearer|basic)\s+(?!realm=)[\w.~+/=-]{8,}")
PASSWORD_IN_URL = re.compile(r"(?i)(\w+://[^\s:/@]*):[^\s@/]+@")


def hide_secrets(text: str) -> str:
    text = SECRETS.sub(rf"\g<name>\g<link>{HIDDEN}", text)
    text = BEARER.sub(rf"\1 {HIDDEN}", text)
    return PASSWORD_IN_URL.sub(rf"\1:{HIDDEN}@", text)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "event": hide_secrets(record.getMessage()),
        }
        line.update(_keys(record))
        if record.exc_info or record.exc_text:
            line["trace"] = hide_secrets(record.exc_text or self.formatException(record.exc_info))  # type: ignore[arg-type]
        return json.dumps(line, ensure_ascii=False, default=str)


class HumanLines(logging.Formatter):
    COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31;1m"}

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        keys = "".join(f" {name}={value}" for name, value in _keys(record).items())
        said = hide_secrets(record.getMessage()) + keys
        # What a stranger sent must not steer the terminal.
        said = "".join(char if char.isprintable() else repr(char)[1:-1] for char in said)
        line = f"{_moment(record).astimezone():%H:%M:%S} {record.levelname:<7} {said}"
        if self._coloured and record.levelname in self.COLOURS:
            line = f"{self.COLOURS[record.levelname]}{line}\x1b[0m"
        if record.exc_info or record.exc_text:
            line += "\n" + hide_secrets(record.exc_text or self.formatException(record.exc_info))  # type: ignore[arg-type]
        return line


class SharedFile(logging.Handler):
    """A rotating file that several processes write: whole lines, one writer at a time under a lock."""

    def __init__(self, path: Path, *, limit: int = FILE_LIMIT, old_files: int = OLD_FILES) -> None:
        super().__init__()
        self._path = path
        self._limit = limit
        self._old_files = old_files
        self._fd: int | None = None
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
            self._write(line)
        except OSError:
            self.dropped += 1
        except Exception:
            self.handleError(record)

    def try_out(self) -> None:
        """Say once, where it can still be said, that there will be no file."""
        self.acquire()
        try:
            self._current()
        except OSError as error:
            log.warning("no log file: %s", error)
        finally:
            self.release()

    def close(self) -> None:
        self.acquire()
        try:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
        finally:
            self.release()
        super().close()

    def _current(self) -> int:
        """The file of this name, which another process may have put aside meanwhile."""
        if self._fd is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._fd), os.stat(self._path)):
                    return self._fd
            os.close(self._fd)
            self._fd = None
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return self._fd

    def _write(self, line: bytes) -> None:
        """Look and write under one lock: looking before it, several processes together would pass the limit."""
        self._current()  # makes the folder anew when somebody has removed it
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fd = self._current()
            if 0 < os.fstat(fd).st_size > self._limit - len(line):
                for number in range(self._old_files - 1, 0, -1):
                    with suppress(FileNotFoundError):
                        os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
                os.replace(self._path, f"{self._path}.1")
                fd = self._current()
            os.write(fd, line)
        finally:
            os.close(lock)


class Stdout(logging.StreamHandler[TextIO]):
    """Nobody reading on (a closed pipe) is no reason to complain, for there is no place to complain to."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            super().handleError(record)


class Desk(QueueHandler):
    """Takes lines without waiting; what does not fit is counted."""

    queue: "Queue[Any]"

    def __init__(self, lines: "Queue[Any]") -> None:
        super().__init__(lines)
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # Rendered here, since arguments may change; formatted over there, since that takes longer.
        record.msg, record.args = record.getMessage(), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except Full:
            self.dropped += 1


class Writer(QueueListener):
    def __init__(self, desk: Desk, *handlers: logging.Handler) -> None:
        super().__init__(desk.queue, *handlers, respect_handler_level=True)
        self._desk = desk

    def handle(self, record: logging.LogRecord) -> None:
        super().handle(record)
        dropped, self._desk.dropped = self._desk.dropped, 0
        if dropped:
            text = f"{dropped} log lines were dropped: they came faster than they could be written"
            super().handle(logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None))

    def stop(self) -> None:
        """A writer that hangs on a pipe must not keep the process."""
        thread: threading.Thread | None = getattr(self, "_thread", None)
        if thread is None:
            return
        with suppress(Full):
            self.queue.put(None, timeout=GOODBYE_SECONDS)  # type: ignore[attr-defined]
        thread.join(GOODBYE_SECONDS)
        self._thread = None


def setup(config: Config, *, terminal: bool, coloured: bool = False, threaded: bool = False) -> Callable[[], None]:
    """Anew in each process; call what is returned at its end. `threaded` is for event loops, not for who forks."""
    handlers = _handlers(config, terminal=terminal, coloured=coloured)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(config.logs.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    writer = None
    if threaded:
        desk = Desk(Queue(WAITING_LINES))
        root.handlers[:] = [desk]
        writer = Writer(desk, *handlers)
        writer.start()
    for handler in handlers:
        if isinstance(handler, SharedFile):
            handler.try_out()

    def stop() -> None:
        root.handlers[:] = handlers  # what is still said is written in place
        if writer is not None:
            writer.stop()

    return stop


def _handlers(config: Config, *, terminal: bool, coloured: bool) -> list[logging.Handler]:
    stdout = Stdout(sys.stdout)
    stdout.setFormatter(HumanLines(coloured=coloured) if terminal else JsonLines())
    if terminal:
        stdout.addFilter(_is_for_people)
    handlers: list[logging.Handler] = [stdout]
    for name, level in (("debug.log", logging.NOTSET), ("error.log", logging.ERROR)):
        file = SharedFile(config.log_dir / name)
        file.setLevel(level)
        file.setFormatter(JsonLines())
        handlers.append(file)
    return handlers


def _is_for_people(record: logging.LogRecord) -> bool:
    """Under the banner an account of the start would be noise; the files have it."""
    return record.levelno >= logging.WARNING or not record.name.startswith(("gunicorn", "messenger.serve"))


def _keys(record: logging.LogRecord) -> dict[str, Any]:
    keys: dict[str, Any] = getattr(record, "keys", {})
    return {
        name: hide_secrets(value) if isinstance(value, str) else value
        for name, value in keys.items()
        if value is not None
    }


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
