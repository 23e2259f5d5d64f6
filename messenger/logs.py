"""Where log lines go: stdout and rotating files, one shape each, never with a secret in them.

An event is a sentence and its keys: `log.info("request", extra={"keys": {"route": …}})`. Workers hand their lines to
a thread, so the event loop never waits for a disk or a pipe; the master, which forks, writes them itself. A line that
cannot be written is dropped and counted: a full disk must not stop the service.

A line becomes text where it is said, which costs some microseconds, and the thread only writes: it takes everything
that waits at once and sleeps a moment before it looks again, so it hardly ever asks for the interpreter.
"""

import errno
import fcntl
import logging
import os
import re
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from json.encoder import JSONEncoder, encode_basestring
from math import isfinite
from pathlib import Path
from typing import Any, TextIO

from messenger.settings import Config

log = logging.getLogger(__name__)

FILE_LIMIT = 10 * 1024 * 1024
OLD_FILES = 5
WAITING_LINES = 10_000
GATHER_SECONDS = 0.02  # between two lots of lines; an error does not wait for it
GOODBYE_SECONDS = 2.0
QUIET = ("sqlalchemy", "asyncio", "asyncpg", "alembic")  # below WARNING they quote data, or chatter
CALM = ("aio_pika", "aiormq")  # an error at every try to connect; that the broker is away is said once, by us

HIDDEN = "[hidden]"
# A second net: what we log on purpose holds no secret, what a library logs may. Where a word may begin with anything,
# it is looked for at the beginning of a word only, or a long word would be read once for each of its letters.
SECRETS = re.compile(
    r"""(?ix)
    (?P<name> authorization | cookie | (?<![\w-]) [\w-]* password | passwd | session_id | (?<![\w-]) [\w-]* token
            | ticket | secret[\w-]* )
    (?P<link> ["']? \s* [:=] \s* ["']? (?: (?:session_id|bearer|basic) \s+ )? )
    [^\s"',;&)}\]]+
    """
)
BEARER = re.compile(r"(?i)\b(session_id|bearer|basic)\s+(?!realm=)[\w.~+/=-]{8,}")
PASSWORD_IN_URL = re.compile(r"(?i)\b(\w+://[^\s:/@]*):[^\s@/]+@")
# Each of the three needs one of these behind its name.
LINKS = re.compile(r"[:=\s]")


def hide_secrets(text: str) -> str:
    if LINKS.search(text) is None:
        return text
    text = SECRETS.sub(rf"\g<name>\g<link>{HIDDEN}", text)
    text = BEARER.sub(rf"\1 {HIDDEN}", text)
    return PASSWORD_IN_URL.sub(rf"\1:{HIDDEN}@", text)


class JsonLines(logging.Formatter):
    def __init__(self, pid: int | None = None) -> None:
        """`pid`: of a process that will not fork; otherwise each record says whose it is."""
        super().__init__()
        self._pid = pid

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "pid": self._pid or record.process,
            "event": hide_secrets(record.getMessage()),
        }
        line.update(_keys(record))
        if record.exc_info or record.exc_text:
            line["trace"] = hide_secrets(record.exc_text or self.formatException(record.exc_info))  # type: ignore[arg-type]
        return _json(line)


class HumanLines(logging.Formatter):
    COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31;1m"}

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        keys = "".join(f" {name}={value}" for name, value in _keys(record).items())
        said = hide_secrets(record.getMessage()) + keys
        if not said.isprintable():  # what a stranger sent must not steer the terminal
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
            self.write([self.format(record)])
        except Exception:
            self.handleError(record)

    def write(self, lines: Sequence[str]) -> None:
        waiting = deque((line + "\n").encode("utf-8", "backslashreplace") for line in lines)
        try:
            self._write(waiting)
        except OSError:
            self.dropped += len(waiting)

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

    def _write(self, waiting: deque[bytes]) -> None:
        """Look and write under one lock: looking before it, several processes together would pass the limit.

        What is written is taken out of `waiting`.
        """
        self._current()  # makes the folder anew when somebody has removed it
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            while waiting:
                fd = self._current()
                size = os.fstat(fd).st_size
                if 0 < size > self._limit - len(waiting[0]):
                    self._put_aside()
                    fd, size = self._current(), 0
                self._append(fd, size, waiting)
        finally:
            os.close(lock)

    def _put_aside(self) -> None:
        for number in range(self._old_files - 1, 0, -1):
            with suppress(FileNotFoundError):
                os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        os.replace(self._path, f"{self._path}.1")

    def _append(self, fd: int, size: int, waiting: deque[bytes]) -> None:
        """As many lines as the file has room for, and one in any case: an empty file takes a line of any length."""
        lot, end = [waiting[0]], size + len(waiting[0])
        for line in islice(waiting, 1, None):
            if end + len(line) > self._limit:
                break
            lot.append(line)
            end += len(line)
        written = os.write(fd, b"".join(lot))
        for line in lot:
            if written < len(line):
                break
            written -= len(waiting.popleft())
            size += len(line)
        if size < end:  # the disk is full: half a line helps nobody
            if written:
                os.ftruncate(fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Stdout(logging.StreamHandler[TextIO]):
    """Nobody reading on (a closed pipe) is no reason to complain, for there is no place to complain to."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            super().handleError(record)

    def write(self, lines: Sequence[str]) -> None:
        with suppress(OSError, ValueError):
            try:
                self.stream.write("".join(f"{line}\n" for line in lines))
            except UnicodeEncodeError:  # one line that this terminal cannot show must not take others along
                for line in lines:
                    with suppress(UnicodeEncodeError):
                        self.stream.write(f"{line}\n")
            self.stream.flush()


Sink = Stdout | SharedFile
Texts = list[str | None]  # of one record, for each sink; None: it has nothing to say there


class Desk(logging.Handler):
    """Takes lines without waiting, and gives them to a thread that writes; what does not fit is counted."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        super().__init__()
        self._sinks = sinks
        self._waiting: deque[Texts] = deque()
        self._bell = threading.Event()  # somebody waits
        self._haste = threading.Event()  # and not for others
        self._is_closing = False
        self._counting = threading.Lock()
        self._dropped = 0
        self._thread = threading.Thread(target=self._keep_writing, name="log", daemon=True)
        self._thread.start()

    def handle(self, record: logging.LogRecord) -> bool:
        self.emit(record)  # without a lock: a deque needs none
        return True

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._waiting) >= WAITING_LINES:
            with self._counting:
                self._dropped += 1
            return
        try:
            self._waiting.append(self._texts(record))
        except Exception:
            self.handleError(record)
        if record.levelno >= logging.ERROR:
            self._haste.set()
        if not self._bell.is_set():
            self._bell.set()

    def stop(self) -> None:
        """A writer that hangs on a pipe must not keep the process."""
        self._is_closing = True
        self._haste.set()
        self._bell.set()
        self._thread.join(GOODBYE_SECONDS)

    def _texts(self, record: logging.LogRecord) -> Texts:
        shaped: dict[logging.Formatter | None, str] = {}
        texts: Texts = []
        for sink in self._sinks:
            if record.levelno < sink.level or not sink.filter(record):
                texts.append(None)
                continue
            text = shaped.get(sink.formatter)
            if text is None:
                text = shaped[sink.formatter] = sink.format(record)
            texts.append(text)
        return texts

    def _keep_writing(self) -> None:
        is_last = False
        while not is_last:
            self._bell.wait()
            self._haste.wait(GATHER_SECONDS)
            is_last = self._is_closing
            # Cleared before looking: who comes after the look rings again.
            self._haste.clear()
            self._bell.clear()
            self._write(self._take())

    def _take(self) -> list[Texts]:
        lot = [self._waiting.popleft() for _ in range(len(self._waiting))]
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            text = f"{dropped} log lines were dropped: they came faster than they could be written"
            lot.append(self._texts(logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)))
        return lot

    def _write(self, lot: Sequence[Texts]) -> None:
        for place, sink in enumerate(self._sinks):
            lines = [text for texts in lot if (text := texts[place]) is not None]
            if not lines:
                continue
            sink.acquire()
            try:
                sink.write(lines)
            except Exception:
                traceback.print_exc()  # there is no other place left to say it
            finally:
                sink.release()


def setup(config: Config, *, terminal: bool, coloured: bool = False, threaded: bool = False) -> Callable[[], None]:
    """Anew in each process; call what is returned at its end. `threaded` is for event loops, not for who forks."""
    handlers = _handlers(config, terminal=terminal, coloured=coloured, pid=os.getpid() if threaded else None)
    # No line shows them, and to find them out takes as long as to write it.
    logging.logThreads = logging.logMultiprocessing = False
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False
    logging.logProcesses = not threaded
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(config.logs.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in CALM:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    desk = Desk(handlers) if threaded else None
    if desk is not None:
        root.handlers[:] = [desk]
    for handler in handlers:
        if isinstance(handler, SharedFile):
            handler.try_out()

    def stop() -> None:
        root.handlers[:] = handlers  # what is still said is written in place
        if desk is not None:
            desk.stop()

    return stop


def _handlers(config: Config, *, terminal: bool, coloured: bool, pid: int | None) -> list[Sink]:
    json_lines = JsonLines(pid)
    stdout = Stdout(sys.stdout)
    stdout.setFormatter(HumanLines(coloured=coloured) if terminal else json_lines)
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
    return record.levelno >= logging.WARNING or not record.name.startswith(("gunicorn", "messenger.serve"))


def _keys(record: logging.LogRecord) -> dict[str, Any]:
    keys: dict[str, Any] = getattr(record, "keys", {})
    return {
        name: hide_secrets(value) if isinstance(value, str) else value
        for name, value in keys.items()
        if value is not None
    }


def _json(line: dict[str, Any]) -> str:
    """What json.dumps makes of it, without preparing an encoder for each line."""
    return "{" + ", ".join([f"{_string(name)}: {WRITTEN.get(type(v), _other)(v)}" for name, v in line.items()]) + "}"


def _float(value: float) -> str:
    return repr(value) if isfinite(value) else _other(value)


_string = encode_basestring
_other = JSONEncoder(ensure_ascii=False, default=str).encode
WRITTEN: dict[type, Callable[[Any], str]] = {str: _string, int: repr, float: _float}


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
