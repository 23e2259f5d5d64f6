"""The image is made of what is in the repository, holds no secret, and asks for no privilege."""

import re
import subprocess

import pytest

from proof.lab.processes import ROOT
from tests.deploy.conftest import Program

DOCKERFILE = ROOT / "deploy/Dockerfile"
LINES = DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
STEPS = [(line.split()[0], line.partition(" ")[2]) for line in LINES if line and not line.startswith("#")]
LAST_STAGE = STEPS[max(place for place, (step, _) in enumerate(STEPS) if step == "FROM") :]


def said(step: str) -> list[str]:
    return [rest for name, rest in LAST_STAGE if name == step]


def sent() -> set[str]:
    """What a build gets to see: all is left out but what is named with a mark of exclamation."""
    rules = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in rules
    return {rule[1:] for rule in rules if rule.startswith("!")}


def test_the_last_stage_runs_as_a_user_of_its_own_and_says_how_it_is_stopped_and_asked() -> None:
    assert said("USER") == ["10001:10001"]
    assert said("STOPSIGNAL") == ["SIGTERM"]
    assert said("CMD") == ['["messenger-api"]'], "the server is the first process and hears signals"
    assert "/readyz" in " ".join(said("HEALTHCHECK"))
    assert not said("ADD") and all("--from=build" in copied for copied in said("COPY"))


def test_every_base_is_pinned_and_nothing_is_handed_in_that_could_be_secret() -> None:
    bases = [rest.split()[0] for step, rest in STEPS if step == "FROM"]

    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", base) for base in bases)
    assert not [rest for step, rest in STEPS if step == "ARG"]
    assert not re.search(r"(?i)password|secret|_pwd|token", DOCKERFILE.read_text())


def test_a_build_gets_to_see_what_the_wheel_is_made_of_and_nothing_else() -> None:
    assert sent() == {
        "LICENSE", "README.md", "asyncapi.yml", "messenger", "pyproject.toml", "setup.py", "swagger.yml"
    }  # fmt: skip
    assert all((ROOT / name).exists() for name in sent())


def test_the_private_postgresql_stays_out() -> None:
    assert any(step == "RUN" and re.search(r"pip uninstall .*\bembedded-postgres\b", rest) for step, rest in STEPS)


def test_hadolint_finds_nothing(program: Program) -> None:
    done = subprocess.run([program("hadolint"), DOCKERFILE], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["deploy/build.sh", "deploy/postgres/init.sh"])
def test_a_script_is_one_that_bash_understands(name: str, program: Program) -> None:
    done = subprocess.run([program("bash"), "-n", ROOT / name], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
