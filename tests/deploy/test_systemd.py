"""deploy/systemd: systemd itself finds nothing wrong, and next to nothing that a service may touch."""

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from messenger.settings import Config, knobs
from tests.deploy.conftest import DEPLOY, Program

FOLDER = DEPLOY / "systemd"
UNITS = sorted(path.name for path in FOLDER.glob("*.service"))
COMMON = FOLDER / "messenger-.service.d" / "common.conf"
SYSTEM = Path("/lib/systemd/system")  # what units refer to: targets, sockets, slices
EXPOSURE = 30  # of 100, as systemd counts


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine on which everything is installed where the units look for it."""
    if not SYSTEM.is_dir():
        pytest.skip(f"{SYSTEM} is not there")
    shutil.copytree(SYSTEM, tmp_path / "lib/systemd/system", symlinks=True)
    shutil.copytree(FOLDER, tmp_path / "etc/systemd/system")
    for unit in UNITS:
        binary = tmp_path / said(unit)["ExecStart"].split()[0].lstrip("/")
        binary.parent.mkdir(parents=True, exist_ok=True)
        binary.write_text("#!/bin/sh\n")
        binary.chmod(0o755)
    return tmp_path


def said(unit: str) -> dict[str, str]:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(FOLDER / unit)
    return dict(parser["Service"])


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong_and_little_that_is_open(unit: str, root: Path, program: Program) -> None:
    analyze = [program("systemd-analyze"), f"--root={root}"]
    verified = subprocess.run([*analyze, "verify", unit], capture_output=True, text=True, check=False)
    exposed = subprocess.run(
        [*analyze, "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    assert exposed.returncode == 0, exposed.stdout


def test_every_setting_that_a_unit_names_is_one() -> None:
    named = re.findall(r"^Environment=(\w+)=", COMMON.read_text(), re.M)
    named += re.findall(r"^(\w+)=", (FOLDER / "messenger.env").read_text(), re.M)

    assert {name.removesuffix("_FILE") for name in named} <= {knob.name for knob in knobs()}


@pytest.mark.parametrize("unit", [unit for unit in UNITS if "TimeoutStopSec" in said(unit)])
def test_a_stop_has_the_time_that_the_server_takes_for_it(unit: str) -> None:
    assert int(said(unit)["TimeoutStopSec"]) > Config.Server.graceful_timeout + 5
