"""The files for three machines, tried with the programs that read them; then three machines as processes, of which one
loses its primary.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from messenger.settings import read
from proof.lab.machines import FILES
from proof.lab.processes import ROOT
from tests.deploy.conftest import Program

DEPLOY = ROOT / "deploy"
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


class Plain(yaml.SafeLoader):
    """Reads what `!override` and `!reset` stand before."""


def plain(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None


Plain.add_multi_constructor("!", plain)  # type: ignore[no-untyped-call]
COMPOSE = yaml.load((DEPLOY / "compose.ha.yml").read_text(), Plain)  # noqa: S506  (it is a safe loader)
NEW = {name: one for name, one in COMPOSE["services"].items() if "extends" not in one}


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


def test_the_compose_file_is_one(program: Program, tmp_path: Path) -> None:
    (tmp_path / "compose.json").write_text(json.dumps(COMPOSE))

    run(program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(tmp_path / "compose.json"))


def test_hadolint_finds_nothing(program: Program) -> None:
    run(program("hadolint"), "Dockerfile")


@pytest.mark.parametrize("name", ["create-database.sh", "rabbitmq.sh", "run.sh"])
def test_a_script_is_one_that_bash_understands(name: str, program: Program) -> None:
    run(program("bash"), "-n", name)


@pytest.mark.parametrize("name", NEW)
def test_a_service_is_pinned_bounded_asked_and_starts_again(name: str) -> None:
    one = NEW[name]

    assert re.search(r":v?\d[\w.-]*$", one["image"]) or name in {"pg1", "pg2", "pg3"}
    assert one["mem_limit"]
    assert one["restart"] == "unless-stopped"
    assert "no-new-privileges:true" in one["security_opt"]
    assert one["healthcheck"]["test"][0] == "CMD"
    if not name.startswith("rabbitmq"):  # whose image begins as root
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]


def test_every_secret_that_is_read_is_made(tmp_path: Path) -> None:
    run(sys.executable, str(DEPLOY / "make_secrets.py"), str(tmp_path), "ha")

    for service in NEW.values():
        for mount in service["volumes"]:
            if isinstance(mount, dict):
                assert (tmp_path / mount["volume"]["subpath"]).is_dir()
    said = (tmp_path / "patroni/environment").read_text()
    assert set(re.findall(r"(\w+)=\S+", said)) == {
        "PATRONI_SUPERUSER_PASSWORD", "PATRONI_REPLICATION_PASSWORD", "PATRONI_RESTAPI_USERNAME",
        "PATRONI_RESTAPI_PASSWORD", "MESSENGER_PASSWORD",
    }  # fmt: skip
    names = ("DATABASE_URL", "RMQ_URL", "REDIS_URL", "SECRET_KEY")
    config = read({f"{name}_FILE": str(tmp_path / "messenger" / name.lower()) for name in names})
    assert "@haproxy:5432/" in config.database.url
    assert [one.rpartition("@")[2] for one in config.rmq_url.each] == [f"rabbitmq{n}:5672/" for n in (1, 2, 3)]
    assert {"rabbitmq.conf", "cookie"} <= {path.name for path in (tmp_path / "rabbitmq").iterdir()}


def test_compose_reads_its_file_and_each_server_has_a_haproxy_of_its_own(docker: str) -> None:
    said = run(docker, "compose", "--file", str(DEPLOY / "compose.ha.yml"), "config")

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
