"""What compose starts is pinned, bounded, asked whether it is well, and knows its secrets as files that are made."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from messenger.apps.auth.secret_keys import load_keys
from messenger.settings import Mode, knobs, read
from proof.lab.processes import ROOT
from tests.deploy.conftest import Program

DEPLOY = ROOT / "deploy"
STRICT = yaml.safe_load((DEPLOY / "compose.yml").read_text())
DEV = yaml.safe_load((DEPLOY / "compose.dev.yml").read_text())
SERVICES: dict[str, Any] = STRICT["services"]
LEAVE = {"secrets", "migrate"}  # when they are done
OURS = {name for name, one in SERVICES.items() if "messenger:local" in one["image"]}
MADE_BY = DEPLOY / "make_secrets.py"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    make_secrets(tmp_path)
    return tmp_path


def make_secrets(folder: Path) -> None:
    subprocess.run([sys.executable, MADE_BY, folder], check=True)


def secrets_of(service: dict[str, Any]) -> dict[str, str]:
    """Where a folder of secrets is seen, and which."""
    mounts = [one for one in service.get("volumes", ()) if isinstance(one, dict)]
    assert all(one["read_only"] and one["source"] == "secrets" for one in mounts)
    return {one["target"]: one["volume"]["subpath"] for one in mounts}


@pytest.mark.parametrize("name", ["compose.yml", "deploy/compose.yml", "deploy/compose.dev.yml"])
def test_a_compose_file_is_one(name: str, program: Program) -> None:
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", ROOT / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_docker_compose_at_the_root_finds_all_of_it() -> None:
    root = yaml.safe_load((ROOT / "compose.yml").read_text())

    assert root == {"name": STRICT["name"], "include": ["deploy/compose.yml"]}
    assert SERVICES.keys() == {
        "secrets", "postgres", "pgbouncer", "redis", "rabbitmq", "migrate", "api1", "api2", "consumer", "nginx",
        "prometheus", "grafana",
    }  # fmt: skip
    assert {name for name, one in SERVICES.items() if "profiles" in one} == {"prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_bounded_asked_and_starts_again(name: str) -> None:
    one = SERVICES[name]

    assert re.search(r":v?\d[\w.-]*$", one["image"]) or name in OURS
    assert one["mem_limit"]
    assert "no-new-privileges:true" in one["security_opt"]
    if name in LEAVE:
        assert one["restart"] == "no"
    else:
        assert one["restart"] == "unless-stopped"
        assert one["logging"]["options"]["max-size"]
        # A server without one here has that of its image.
        assert name in {"api1", "api2"} or one["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    if name not in {"postgres", "rabbitmq"}:  # whose images begin as root
        assert one["read_only"] and one["cap_drop"] == ["ALL"]


def test_each_waits_for_what_it_needs() -> None:
    for name in ("api1", "api2", "consumer"):
        needed = {service: how["condition"] for service, how in SERVICES[name]["depends_on"].items()}
        assert needed.pop("migrate") == "service_completed_successfully"
        assert needed == dict.fromkeys(("pgbouncer", "redis", "rabbitmq"), "service_healthy")
    assert SERVICES["nginx"]["depends_on"] == dict.fromkeys(("api1", "api2"), {"condition": "service_healthy"})


def test_only_nginx_is_reached_from_other_machines_and_only_servers_reach_the_databases() -> None:
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}

    assert {port.rpartition(":")[2] for port in published.pop("nginx")} == {"8080", "8000", "8443"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert STRICT["networks"]["back"] == {"internal": True}
    assert {name for name, one in SERVICES.items() if "front" in one.get("networks", ())} == {
        "nginx", "api1", "api2", "prometheus", "grafana"
    }  # fmt: skip
    assert [port.startswith("127.0.0.1:") for port in DEV["services"]["api"]["ports"]] == [True]


def test_every_variable_of_ours_is_a_setting_and_none_holds_a_secret() -> None:
    known = {name for knob in knobs() for name in (knob.name, f"{knob.name}_FILE")}
    for service in (*(SERVICES[name] for name in OURS - {"secrets"}), DEV["services"]["api"]):
        assert service["environment"].keys() - known <= {"PYTHONPATH"}
    named = re.findall(r"(?i)\b\w*(?:password|pwd|secret_key|_url)\w*: (.+)", (DEPLOY / "compose.yml").read_text())

    assert len(named) >= 6
    assert all(value.startswith("/run/secrets/") for value in named)


def test_every_secret_that_is_read_is_made_and_kept(made: Path) -> None:
    before = {path: path.read_text() for path in made.glob("*/*")}
    for service in SERVICES.values():
        for target, folder in secrets_of(service).items():
            for name in re.findall(rf"{target}/([\w.]+)", yaml.safe_dump(service)):
                if name != "pgbouncer.ini":
                    assert (made / folder / name) in before
    make_secrets(made)

    assert before == {path: path.read_text() for path in made.glob("*/*")}
    assert "userlist.txt" in (DEPLOY / "pgbouncer/pgbouncer.ini").read_text()
    modes = {path.parent.name: path.stat().st_mode & 0o777 for path in before}
    assert {name for name, mode in modes.items() if mode != 0o400} == {"postgres", "rabbitmq", "grafana"}
    other = made / "other"
    other.mkdir()
    make_secrets(other)
    assert not {text for text in before.values()} & {path.read_text() for path in other.glob("*/*")}


def test_the_servers_take_the_settings_and_go_through_the_pooler(made: Path) -> None:
    (folder,) = secrets_of(SERVICES["api1"]).values()
    environment = {
        name: str(value).replace("/run/secrets", str(made / folder)).replace("${NGINX_THROTTLING:-0}", "0")
        for name, value in SERVICES["api1"]["environment"].items()
    }

    config = read(environment)

    assert config.mode is Mode.PRODUCTION
    assert "@pgbouncer:6432/" in config.database.url and "@postgres:5432/" in config.database.direct_url
    assert config.redis_url and config.rmq_url
    assert not config.migrates_on_start
    assert len(load_keys(config)) == 1


def test_the_readme_begins_with_it() -> None:
    first_commands = (ROOT / "README.md").read_text().split("```")[1]

    assert "$ docker compose build && docker compose up -d --wait" in first_commands


def test_what_may_be_set_is_named_in_the_example_and_used() -> None:
    example = set(re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    used = set(re.findall(r"\$\{(\w+):-", (DEPLOY / "compose.yml").read_text()))

    assert used - {"MESSENGER_IMAGE", "GRAFANA_PORT", "NGINX_TLS"} <= example
    assert example - used <= {knob.name for knob in knobs()} | {"COMPOSE_PROFILES"}
    assert SERVICES["api1"]["env_file"] == [{"path": "../.env", "required": False}]


@pytest.mark.parametrize("command", [["deploy/build.sh"], ["make", "run-prod"]])
def test_without_docker_it_is_said_what_is_missing(tmp_path: Path, program: Program, command: list[str]) -> None:
    for name in ("bash", "sh", "dirname", "make", "env"):
        (tmp_path / name).symlink_to(program(name))
    environment = {"PATH": str(tmp_path)}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "compose is missing" in done.stdout + done.stderr
