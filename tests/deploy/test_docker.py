"""A fresh clone in containers: built, started, used through nginx, restarted while in use."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from proof.containers.engine import APIS, Compose
from proof.containers.people import people
from proof.lab.crowd import clients, new_name, sign_up
from proof.lab.processes import ROOT, free_port
from proof.lab.waiting import running
from tests.deploy.conftest import Program
from tests.deploy.test_stack import CURL
from tests.requirements import copied

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

LARGEST = 250 * 1000**2
PORTS = ("HTTP_PORT", "HTTP_PORT_OLD", "HTTPS_PORT")


@pytest.fixture(scope="module")
def docker(program: Program) -> str:
    found = program("docker")
    if subprocess.run([found, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    if subprocess.run([found, "info"], capture_output=True, check=False).returncode:
        pytest.skip("the Docker engine does not answer")
    return found


@pytest.fixture(scope="module")
def installation(docker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    ports = {name: str(free_port()) for name in PORTS}
    project = f"messenger-test-{os.getpid()}"
    settings = {"COMPOSE_PROJECT_NAME": project, "MESSENGER_IMAGE": f"{project}:local", **ports}
    compose = Compose(copied(tmp_path_factory.mktemp("clone")), settings)
    try:
        compose.run("build")
        compose.run("up", "--detach", "--wait", "--wait-timeout", "300")
        yield compose
    finally:
        compose.run("down", "--volumes", "--rmi", "local")


def inspected(docker: str, what: str) -> Any:
    said = subprocess.run([docker, "inspect", what], capture_output=True, check=True).stdout
    return json.loads(said)[0]


def test_the_image_is_small_and_knows_no_secret(docker: str, installation: Compose) -> None:
    image = installation.settings["MESSENGER_IMAGE"]
    facts = inspected(docker, image)

    assert facts["Size"] <= LARGEST
    assert facts["Config"]["User"] == "10001:10001"
    secrets = installation.run(
        "exec", "-T", "api1", "sh", "-c", "for one in /run/secrets/*; do cat $one; echo; done"
    ).split()
    layers = subprocess.run([docker, "history", "--no-trunc", image], capture_output=True, text=True, check=True).stdout
    told = layers + json.dumps(facts) + json.dumps(inspected(docker, installation.container("api1")))
    assert len(secrets) == 5
    assert not [secret for secret in secrets if secret in told]
    assert "embedded" not in installation.run("exec", "-T", "api1", "ls", "/opt/messenger/lib/python3.13/site-packages")


def test_a_server_runs_read_only_as_a_user_without_rights(installation: Compose) -> None:
    said = installation.run("exec", "-T", "api1", "sh", "-c", "id -u; touch /opt/x 2>&1; grep CapEff /proc/1/status")

    assert said.split("\n")[0] == "10001"
    assert "Read-only file system" in said
    assert said.split()[-1] == "0" * 16


def test_all_is_well_and_demo_people_come_only_where_they_are_allowed(installation: Compose) -> None:
    assert "✖" not in installation.run("exec", "-T", "api1", "messenger-admin", "doctor")
    with pytest.raises(AssertionError, match="MODE=production"):
        installation.run("exec", "-T", "api1", "messenger-admin", "seed")
    assert "3 people" in installation.run("exec", "-T", "-e", "MODE=standard", "api1", "messenger-admin", "seed")


def test_the_lines_of_the_readme_work_through_nginx(installation: Compose, program: Program) -> None:
    session = ""
    for line in CURL.findall((ROOT / "README.md").read_text())[:4]:
        command = line.replace("localhost:8080", installation.address).replace(
            "<the session_id of the answer>", session
        )
        words = shlex.split(command.replace("<it again>", session))
        said = subprocess.run([program("curl"), "--fail", *words[1:]], capture_output=True, text=True, check=True)
        session = json.loads(said.stdout)["session_id"] if "/login" in line else session

    assert said.stdout.endswith("200")


def test_the_page_comes_with_all_that_it_names(installation: Compose) -> None:
    root = f"http://{installation.address}/"
    with urlopen(root) as answer:
        named = re.findall(r'(?:href|src)="([^"]+)"', answer.read().decode())
    assert len(named) > 30
    for one in named:
        with urlopen(root + one) as answer:
            assert answer.status == 200 and answer.read()


async def test_sockets_at_different_servers_hear_each_other(installation: Compose) -> None:
    class Nginx:
        url = f"http://{installation.address}"

    actors = await sign_up(Nginx(), [new_name("person") for _ in range(2)])
    async with clients(*actors) as (alice, bob), asyncio.timeout(60):
        chat = await alice.opens_chat(Nginx(), new_name("chat"), [bob.actor])
        async with alice.socket(Nginx()) as one, bob.socket(Nginx()) as other:
            await alice.says(Nginx(), chat, "hello")
            for socket in (one, other):
                while json.loads((await socket.receive()).data).get("type") != "new_message":
                    pass
    served = [installation.run("logs", "--no-log-prefix", api).count('"/v1/ws"') for api in APIS]
    assert all(served)


async def test_servers_are_renewed_one_by_one_and_nobody_notices(installation: Compose) -> None:
    async with people(f"http://{installation.address}", how_many=12, sockets=24) as crowd:
        async with running(crowd.use(40)):
            for api in APIS:
                await installation.renew(api)
            await asyncio.sleep(1)

    assert len(crowd.outcomes) > 100
    assert [one for one in crowd.outcomes if not one.is_fine] == []
    assert not +crowd.flaws
    assert sum(one.ends["4004"] for one in crowd.followers) >= 24, "everybody had to move at least once"


def test_the_image_alone_needs_only_a_postgresql(docker: str, installation: Compose) -> None:
    network = f"{installation.settings['COMPOSE_PROJECT_NAME']}_back"
    password = installation.run("exec", "-T", "postgres", "cat", "/run/secrets/superuser_password")
    variables = {"POSTGRES_HOSTS": "postgres", "POSTGRES_USER": "postgres", "POSTGRES_DB": "postgres"}
    given = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
    command = ["run", "--detach", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", network, *given]
    started = subprocess.run(
        [docker, *command, "-e", "POSTGRES_PWD", installation.settings["MESSENGER_IMAGE"]],
        env={**os.environ, "POSTGRES_PWD": password}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    container = started.stdout.strip()
    try:
        while (state := inspected(docker, container)["State"]["Health"]["Status"]) == "starting":
            time.sleep(0.2)
    finally:
        subprocess.run([docker, "stop", container], capture_output=True, check=True)

    assert state == "healthy"
