"""The files for three machines, tried with the programs that read them; then three machines as processes, of which one
loses its primary.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from proof.lab.machines import FILES
from proof.lab.processes import ROOT
from tests.deploy.conftest import Program

PATIENCE = 60
TORTURE = 280
ADDRESSES = {
    "LISTEN": "127.0.0.1:5999",
    "HEALTH": "127.0.0.1:5998",
    **{f"PG{number}": f"127.0.0.1:{5000 + number}" for number in (1, 2, 3)},
    **{f"PG{number}_PATRONI": str(8000 + number) for number in (1, 2, 3)},
}


@pytest.fixture
def docker(program: Program) -> str:
    found = program("docker")
    if subprocess.run([found, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker's command compose is not installed")
    return found


@pytest.fixture
def patroni() -> str:
    beside = Path(sys.executable).with_name("patroni")
    if not beside.exists():
        pytest.skip("patroni is not installed: pip install -e .[ha]")
    return str(beside)


def run(*command: str, within: float = PATIENCE, **environment: str) -> str:
    """What it said; it has to leave with 0."""
    done = subprocess.run(
        command,
        cwd=FILES,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_haproxy_reads_its_file(program: Program) -> None:
    run(program("haproxy"), "-c", "-f", "haproxy.cfg", **ADDRESSES)


def test_compose_reads_its_file_and_each_server_has_a_haproxy_of_its_own(docker: str) -> None:
    said = run(docker, "compose", "--file", str(ROOT / "deploy" / "compose.ha.yml"), "config")

    services = yaml.safe_load(said)["services"]
    aliases = {name: services[name]["networks"][f"beside{name[-1]}"]["aliases"] for name in ("haproxy1", "haproxy2")}
    assert aliases == {"haproxy1": ["haproxy"], "haproxy2": ["haproxy"]}
    for name in ("api1", "api2", "consumer1", "consumer2"):
        assert f"beside{name[-1]}" in services[name]["networks"]
        assert "DATABASE_DIRECT_URL_FILE" not in services[name]["environment"]
    unwatched = {name for name, one in services.items() if one.get("healthcheck", {"disable": True}).get("disable")}
    assert unwatched <= {"secrets", "migrate", "api1", "api2"}, "the image of these two has a check of its own"
    assert {name for name, one in services.items() if one.get("ports")} == {"nginx"}


@pytest.mark.long
def test_a_primary_that_is_killed_loses_nothing(program: Program, patroni: str, tmp_path: Path) -> None:
    for name in ("etcd", "haproxy"):
        program(name)

    told = run(
        sys.executable, "-m", "proof.torture", "--cluster", "--kinds", "kill primary", "--rate", "100",
        "--report", str(tmp_path), within=TORTURE, PYTHONPATH=str(ROOT),
    )  # fmt: skip

    assert "/ 0\n" in next(line + "\n" for line in told.splitlines() if "acknowledged / lost" in line)
