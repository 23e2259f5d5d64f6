"""Log lines: one shape, no secret, files that several processes share, and never a reason to stop."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import cycle
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from messenger.run import logging_setup
from messenger.run.logging_setup import queue_writer
from messenger.run.logging_setup.formats import JsonLines
from messenger.run.logging_setup.redaction import hide_secrets
from messenger.run.logging_setup.rotating_file import SharedFile
from messenger.settings import Config, read


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return read({"DATA_DIR": str(tmp_path)})


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The root logger; it, what is heard of others and what a record knows are as they were, whatever is set up."""
    logger = logging.getLogger()
    handlers = logger.handlers[:]
    levels = {name: logging.getLogger(name).level for name in (None, *logging_setup.QUIET, *logging_setup.CALM)}
    facts = {name: value for name, value in vars(logging).items() if name.startswith("log") and isinstance(value, bool)}
    facts["_srcfile"] = vars(logging)["_srcfile"]
    yield logger
    for handler in logger.handlers:
        if handler not in handlers:
            handler.close()
    logger.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    vars(logging).update(facts)
    logging.captureWarnings(False)


def line_of(name: str, config: Config) -> dict[str, object]:
    (line,) = (config.log_dir / name).read_text().splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_off_a_terminal_an_event_is_a_line_of_json_on_stdout_and_in_the_file(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    stop = logging_setup.setup(config, terminal=False)

    logging.getLogger("messenger.x").info("closed user=%s", 7, extra={"keys": {"code": 4001, "route": None}})
    stop()

    line = json.loads(stdout.getvalue())
    assert line == line_of("debug.log", config)
    assert (line["event"], line["level"], line["code"]) == ("closed user=7", "INFO", 4001)
    assert "route" not in line
    assert line["ts"].endswith("Z")
    assert (config.log_dir / "error.log").read_text() == ""
    assert (config.log_dir / "debug.log").stat().st_mode & 0o777 == 0o600


def test_errors_are_in_both_files_with_their_trace(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    stop = logging_setup.setup(config, terminal=False, threaded=True)

    try:
        raise RuntimeError("out of tea")
    except RuntimeError:
        logging.getLogger("messenger.x").exception("failed")
    stop()

    line = line_of("error.log", config)
    assert line == line_of("debug.log", config)
    assert "out of tea" in str(line["trace"])


@pytest.mark.parametrize("coloured", [True, False])
def test_on_a_terminal_a_line_is_for_people_and_cannot_steer_it(
    config: Config, monkeypatch: pytest.MonkeyPatch, coloured: bool
) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setenv("NO_COLOR", "" if coloured else "1")
    stop = logging_setup.setup(config, terminal=True)

    logging.getLogger("gunicorn.error").info("Booting worker")
    logging.getLogger("messenger.x").warning("odd path=%s", "/\x1b[2J\n", extra={"keys": {"status": 404}})
    stop()

    (line,) = stdout.getvalue().splitlines()
    assert "odd path=/\\x1b[2J\\n status=404" in line
    assert line.startswith("\x1b[33m") is coloured
    assert "Booting worker" in (config.log_dir / "debug.log").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: session_id planted-secret",
        "{'Authorization': 'Bearer planted-secret', 'Host': 'x'}",
        '{"password": "planted-secret"}',
        "password=planted-secret&user_name=ann",
        "new_password: planted-secret",
        "refresh_token=planted-secret",
        "GET /ws?token=planted-secret HTTP/1.1",
        "GET http://127.0.0.1:8080/#link=planted-secret",
        "Cookie: planted-secret",
        "session_id=planted-secret",
        "with Bearer planted-secret inside",
        "postgresql://ann:planted-secret@db/messenger",
    ],
)
def test_a_secret_that_slips_into_a_message_is_hidden(text: str) -> None:
    hidden = hide_secrets(text)

    assert "planted-secret" not in hidden
    assert "[hidden]" in hidden


@pytest.mark.parametrize("text", ["closed user=7 code=4001", "bad-password", "token-invalid", "request ms=3"])
def test_an_ordinary_message_stays_as_it_is(text: str) -> None:
    assert hide_secrets(text) == text


# The rules as they are meant, without a word on how to be quick about it.
PLAIN_RULES = (
    (
        re.compile(
            r"""(?ix)
            (?P<name> authorization | cookie | [\w-]* password | passwd | session_id | [\w-]* token | ticket
                    | secret[\w-]* )
            (?P<link> ["']? \s* [:=] \s* ["']? (?: (?:session_id|bearer|basic) \s+ )? )
            [^\s"',;&)}\]]+
            """
        ),
        r"\g<name>\g<link>[hidden]",
    ),
    (re.compile(r"(?i)\b(session_id|bearer|basic)\s+(?!realm=)[\w.~+/=-]{8,}"), r"\1 [hidden]"),
    (re.compile(r"(?i)(\w+://[^\s:/@]*):[^\s@/]+@"), r"\1:[hidden]@"),
)
PIECES = st.sampled_from(
    "authorization cookie Password my-password passwd session_id access_token ticket secret SECRET-2 ſecret bearer "
    "Basic realm= postgresql:// : = \" ' - _ / @ ; , ) x xxxxxxxx é [hidden]".split()
    + [" ", "\u2003", "\n"]
)


@given(st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text()))
@example("my-token-cookie=1")
@example("token=a;xtoken=b")
def test_what_is_hidden_does_not_depend_on_how_quickly_it_is_found(text: str) -> None:
    expected = text
    for rule, replacement in PLAIN_RULES:
        expected = rule.sub(replacement, expected)

    assert hide_secrets(text) == expected


def record(text: str, **keys: Any) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, "", 0, text, None, None)
    made.__dict__["keys"] = keys
    return made


ANY = st.characters()  # also halves of surrogate pairs, as from a path that is no UTF-8


@given(
    st.text(ANY),
    st.dictionaries(
        st.sampled_from(["route", "user_id", "level", 'odd "name"']),
        st.one_of(st.text(ANY), st.integers(), st.floats(), st.booleans(), st.lists(st.text()), st.dates()),
    ),
)
@example("\ud800", {})
@example("x", {"user_id": 1 << 64, "route": float("nan")})
def test_a_line_is_the_json_of_what_was_said(text: str, keys: dict[str, Any]) -> None:
    line = JsonLines(pid=7).format(record(text, **keys))

    hidden = {name: hide_secrets(value) if isinstance(value, str) else value for name, value in keys.items()}
    base = {"ts": json.loads(line)["ts"], "level": "INFO", "logger": "x", "pid": 7, "event": hide_secrets(text)}
    assert "\n" not in line
    found = json.loads(line)
    wanted = json.loads(json.dumps({**base, **hidden}, default=str))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        is_number = not isinstance(value, float) or isfinite(value)
        assert found[name] == value if is_number else found[name] is None or not isfinite(found[name])


@pytest.mark.parametrize("lot", [1, 40, 1_000])
def test_several_processes_rotate_one_file_without_losing_a_line(tmp_path: Path, lot: int) -> None:
    script = """
import sys
from pathlib import Path
from messenger.run.logging_setup.rotating_file import SharedFile
file = SharedFile(Path(sys.argv[1]), limit=20_000, old_files=50)
lines = [f"{sys.argv[2]} {number} " + "x" * 40 for number in range(1_000)]
lot = int(sys.argv[3])
for start in range(0, 1_000, lot):
    file.write(lines[start : start + lot])
print(file.dropped)
"""
    path = tmp_path / "shared.log"
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name, str(lot)], stdout=subprocess.PIPE, text=True)
        for name in ("a", "b", "c")
    ]

    assert [writer.communicate(timeout=60)[0] for writer in writers] == ["0\n"] * 3
    files = [file for file in tmp_path.iterdir() if file.name != "shared.lock"]
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert len(files) > 5
    assert all(file.stat().st_size <= 20_000 for file in files)
    assert sorted(lines) == sorted(
        f"{name} {number} " + "x" * 40 for name in ("a", "b", "c") for number in range(1_000)
    )


def test_only_so_many_old_files_are_kept(tmp_path: Path) -> None:
    handler = SharedFile(tmp_path / "small.log", limit=100, old_files=2)

    for number in range(50):
        handler.handle(logging.LogRecord("x", 20, "", 0, f"line {number} " + "x" * 40, None, None))
    handler.close()

    assert {file.name for file in tmp_path.glob("small.log*")} == {"small.log", "small.log.1", "small.log.2"}
    assert "line 49" in (tmp_path / "small.log").read_text()


@given(st.lists(st.integers(1, 150), max_size=30), st.lists(st.integers(1, 30), min_size=1))
def test_lines_that_come_together_lie_where_they_would_lie_one_by_one(lengths: list[int], lots: list[int]) -> None:
    lines = [chr(ord("a") + number % 26) * length for number, length in enumerate(lengths)]

    def files(*sizes: int) -> dict[str, str]:
        with TemporaryDirectory() as folder:
            file = SharedFile(Path(folder) / "x.log", limit=100, old_files=100)
            rest, turns = lines[:], cycle(sizes)
            while rest:
                size = next(turns)
                file.write(rest[:size])
                del rest[:size]
            file.close()
            return {one.name: one.read_text() for one in Path(folder).iterdir()}

    assert files(*lots) == files(1)


def test_a_disk_that_fills_up_keeps_whole_lines_only(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from messenger.run.logging_setup.rotating_file import SharedFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (95, 95))
file = SharedFile(Path(sys.argv[1]))
file.write(["x" * 9] * 8)
file.write(["y" * 9] * 3)
print(file.dropped)
"""
    path = tmp_path / "x.log"

    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)

    assert path.read_text().split() == ["x" * 9] * 8 + ["y" * 9]
    assert done.stdout == "2\n"


def test_a_full_disk_costs_lines_and_nothing_else(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    config.log_dir.mkdir()
    (config.log_dir / "debug.log").symlink_to("/dev/full")
    stop = logging_setup.setup(config, terminal=False)

    logging.getLogger("messenger.x").error("still here")
    stop()

    assert "still here" in stdout.getvalue()
    assert line_of("error.log", config)["event"] == "still here"


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    (tmp_path / "file").write_text("")

    logging_setup.setup(read({"DATA_DIR": str(tmp_path), "LOG_DIR": str(tmp_path / "file" / "logs")}), terminal=False)()

    assert "no log file" in stdout.getvalue()


def test_a_writer_that_hangs_holds_up_nobody_and_the_loss_is_reported(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(io.StringIO):
        free = threading.Event()

        def write(self, text: str) -> int:
            self.free.wait(10)
            return super().write(text)

    stdout = Stuck()
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(queue_writer, "WAITING_LINES", 10)
    stop = logging_setup.setup(config, terminal=False, threaded=True)

    for number in range(100):
        logging.getLogger("messenger.x").info("line %s", number)
    stdout.free.set()
    stop()

    events = [json.loads(line)["event"] for line in stdout.getvalue().splitlines()]
    assert events[0] == "line 0"
    lost = [event for event in events if "were dropped" in event]
    assert sum(int(event.split()[0]) for event in lost) + len(events) - len(lost) == 100


def test_an_error_is_written_at_once_and_the_rest_at_the_end_without_waiting(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, told = os.pipe()
    monkeypatch.setattr(sys, "stdout", os.fdopen(told, "w"))
    monkeypatch.setattr(queue_writer, "GATHER_SECONDS", 600.0)
    stop = logging_setup.setup(config, terminal=False, threaded=True)
    log = logging.getLogger("messenger.x")

    with os.fdopen(heard) as said:
        log.info("first")
        log.error("broken")
        assert [json.loads(said.readline())["event"] for _ in range(2)] == ["first", "broken"]

        log.info("last")
        stop()
        assert json.loads(said.readline())["event"] == "last"
    sys.stdout.close()


def test_a_line_that_stdout_cannot_show_takes_no_other_along(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(heard, encoding="ascii"))
    monkeypatch.setattr(queue_writer, "GATHER_SECONDS", 600.0)
    stop = logging_setup.setup(config, terminal=False, threaded=True)

    for text in ("plain", "señor", "simple"):
        logging.getLogger("messenger.x").info(text)
    stop()

    assert [json.loads(line)["event"] for line in heard.getvalue().splitlines()] == ["plain", "simple"]
    assert len((config.log_dir / "debug.log").read_text().splitlines()) == 3


def test_a_reader_that_hung_up_is_no_trouble(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, told = os.pipe()
    os.close(heard)
    monkeypatch.setattr(sys, "stdout", os.fdopen(told, "w", buffering=1))
    stop = logging_setup.setup(config, terminal=False)

    logging.getLogger("messenger.x").info("anybody there?")
    stop()

    assert line_of("debug.log", config)["event"] == "anybody there?"
    with pytest.raises(BrokenPipeError):
        sys.stdout.close()
