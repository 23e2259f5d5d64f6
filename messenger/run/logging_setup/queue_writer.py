"""Takes lines without waiting; a thread writes them.

A line becomes text where it is logged, which costs some microseconds, and the thread only writes: it takes everything
that waits at once and sleeps a moment before it looks again, so it hardly ever needs the interpreter. The standard
QueueListener wakes up for every line.
"""

import logging
import sys
import threading
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

from messenger.run.logging_setup.rotating_file import SharedFile

WAITING_LINES = 10_000
GATHER_SECONDS = 0.02  # between two lots of lines; an error does not wait for it
GOODBYE_SECONDS = 2.0


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


class QueueWriter(logging.Handler):
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
