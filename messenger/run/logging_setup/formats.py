"""What a line looks like: JSON for programs, plain text for a person at a terminal. Neither shows a secret."""

import json
import logging
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from messenger.run.logging_setup.redaction import hide_secrets

_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonLines(logging.Formatter):
    def __init__(self, pid: int | None = None) -> None:
        """`pid`: of a process that will not fork; otherwise each record says whose it is."""
        super().__init__()
        self._pid = pid

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": f"{_second(int(record.created))}.{int(record.created % 1 * 1000):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "pid": self._pid or record.process,
            "event": hide_secrets(record.getMessage()),
        }
        line.update(_keys(record))
        if record.exc_info or record.exc_text:
            line["trace"] = hide_secrets(record.exc_text or self.formatException(record.exc_info))  # type: ignore[arg-type]
        try:
            return _encode(line).decode()
        except (UnicodeEncodeError, OverflowError):  # half of a surrogate pair, a number beyond 64 bits
            return json.dumps(line, default=str)


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


def _keys(record: logging.LogRecord) -> dict[str, Any]:
    keys: dict[str, Any] = getattr(record, "keys", {})
    return {
        name: hide_secrets(value) if isinstance(value, str) else value
        for name, value in keys.items()
        if value is not None
    }


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
