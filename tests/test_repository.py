"""What everybody finds at the top: the commands of make, the hooks, the checks of every push, coverage by default."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MAKE = shutil.which("make") or "make"
# A command of make, and a piece of what it would run.
COMMANDS = {
    "venv": "-m venv",
    "run": "messenger-api",
    "run-dev": "messenger-api --dev",
    "run-prod": "docker compose up --build",
    "test": '-m pytest -m "not long and not engine" --no-cov',
    "test-long": "FAULTS_SCALE=1 FUZZ_CASES=100",
    "docs": "messenger.run.documents",
    "tests-html-coverage-report": "--cov-report=html",
    "check-deploy": "pytest tests/deploy",
    "lint": "ruff check",
    "migrate": "messenger-db upgrade head",
}


def make(*arguments: str) -> str:
    """VENV: a place where nothing is, so that installing is part of the answer."""
    done = subprocess.run(
        [MAKE, "--no-print-directory", "VENV=/nowhere/venv", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_make_alone_lists_its_commands_with_a_word_on_each() -> None:
    listed = {line.split()[1]: line.split(maxsplit=2)[2] for line in make().splitlines() if line.strip()}

    assert listed.keys() >= {"help", *COMMANDS}
    assert all(listed.values())
    assert make("help") == make()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_make_does_what_it_is_called(command: str) -> None:
    assert COMMANDS[command] in make("--dry-run", command)


def test_pytest_alone_measures_the_coverage_of_messenger() -> None:
    settings = ConfigParser()
    settings.read(ROOT / "pytest.ini")

    assert "--cov=messenger" in settings["pytest"]["addopts"].split()


def test_make_test_measures_coverage_where_that_is_asked_for_and_changes_nothing_of_the_machine() -> None:
    assert "--no-cov" not in make("--dry-run", "test", "COVERAGE=1")
    assert "engines" not in make("--dry-run", "test")


def test_an_installation_has_every_file_of_the_package(tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)

    here, built = ({path.relative_to(top) for path in files(top)} for top in (ROOT, tmp_path))
    assert Path("messenger/apps/client/static/index.html") in here
    assert here - built == set()


def files(top: Path) -> Iterator[Path]:
    return (path for path in (top / "messenger").rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def test_every_push_is_checked_and_so_is_every_commit() -> None:
    flow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())

    assert {"push", "schedule"} <= set(flow[True])  # YAML takes `on` for a truth
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in flow["jobs"].items()}
    assert runs == {"check": [".ci/run"], "nightly": [".ci/run test-long"]}
    steps = (ROOT / ".ci/run").read_text()
    for step in (".ci/engines", "make lint", 'make "${1:-test}"', "make check-deploy"):
        assert step in steps
    assert [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]] == ["make lint"]
