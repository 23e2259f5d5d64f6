"""Log lines: one shape, no secret, files that several processes share, and never a reason to stop."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from messenger import logs
from messenger.settings import Config, read


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return read({"DATA_DIR": str(tmp_path)})


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The root logger as it was, whatever a test sets up."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    for handler in logger.handlers:
        if handler not in handlers:
            handler.close()
    logger.handlers[:] = handlers
    logger.setLevel(level)
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
    stop = logs.setup(config, terminal=False)

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
    stop = logs.setup(config, terminal=False, threaded=True)

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
    stop = logs.setup(config, terminal=True, coloured=coloured)

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
        "Cookie: planted-secret",
        "session_id=planted-secret",
        "with Bearer planted-secret inside",
        "postgresql://ann:planted-secret@db/messenger",
    ],
)
def test_a_secret_that_slips_into_a_message_is_hidden(text: str) -> None:
    hidden = logs.hide_secrets(text)

    assert "planted-secret" not in hidden
    assert "[hidden]" in hidden


@pytest.mark.parametrize("text", ["closed user=7 code=4001", "bad-password", "token-invalid", "request ms=3"])
def test_an_ordinary_message_stays_as_it_is(text: str) -> None:
    assert logs.hide_secrets(text) == text


def test_several_processes_rotate_one_file_without_losing_a_line(tmp_path: Path) -> None:
    script = """
import logging, sys
from pathlib import Path
from messenger.logs import SharedFile
handler = SharedFile(Path(sys.argv[1]), limit=20_000, old_files=50)
for number in range(1_000):
    handler.handle(logging.LogRecord("x", 20, "", 0, f"{sys.argv[2]} {number} " + "x" * 40, None, None))
print(handler.dropped)
"""
    path = tmp_path / "shared.log"
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name], stdout=subprocess.PIPE, text=True)
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
    handler = logs.SharedFile(tmp_path / "small.log", limit=100, old_files=2)

    for number in range(50):
        handler.handle(logging.LogRecord("x", 20, "", 0, f"line {number} " + "x" * 40, None, None))
    handler.close()

    assert {file.name for file in tmp_path.glob("small.log*")} == {"small.log", "small.log.1", "small.log.2"}
    assert "line 49" in (tmp_path / "small.log").read_text()


def test_a_full_disk_costs_lines_and_nothing_else(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    config.log_dir.mkdir()
    (config.log_dir / "debug.log").symlink_to("/dev/full")
    stop = logs.setup(config, terminal=False)

    logging.getLogger("messenger.x").error("still here")
    stop()

    assert "still here" in stdout.getvalue()
    assert line_of("error.log", config)["event"] == "still here"


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    (tmp_path / "file").write_text("")

    logs.setup(read({"DATA_DIR": str(tmp_path), "LOG_DIR": str(tmp_path / "file" / "logs")}), terminal=False)()

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
    monkeypatch.setattr(logs, "WAITING_LINES", 10)
    stop = logs.setup(config, terminal=False, threaded=True)

    for number in range(100):
        logging.getLogger("messenger.x").info("line %s", number)
    stdout.free.set()
    stop()

    events = [json.loads(line)["event"] for line in stdout.getvalue().splitlines()]
    assert events[0] == "line 0"
    lost = [event for event in events if "were dropped" in event]
    assert sum(int(event.split()[0]) for event in lost) + len(events) - len(lost) == 100


def test_a_reader_that_hung_up_is_no_trouble(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, told = os.pipe()
    os.close(heard)
    monkeypatch.setattr(sys, "stdout", os.fdopen(told, "w", buffering=1))
    stop = logs.setup(config, terminal=False)

    logging.getLogger("messenger.x").info("anybody there?")
    stop()

    assert line_of("debug.log", config)["event"] == "anybody there?"
    with pytest.raises(BrokenPipeError):
        sys.stdout.close()
