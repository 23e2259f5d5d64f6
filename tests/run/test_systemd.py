"""What systemd hears of a service of Type=notify, through a socket as it gives it: with a file, and without."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from messenger.run import api, consumer
from proof.lab.processes import free_port
from tests.commands import Forked, Main
from tests.test_commands import PATIENCE, environment

NOBODY = "amqp://guest@127.0.0.1:9/"


@pytest.fixture(params=["with a file", "without a file"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Where systemd listens, and how the service is told of it."""
    told = str(tmp_path / "notify") if request.param == "with a file" else f"@messenger-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(told if told.startswith("/") else "\0" + told[1:])
        listener.settimeout(PATIENCE)
        yield listener, told


@pytest.mark.parametrize("program", [api.main, consumer.main], ids=["api", "consumer"])
def test_ready_is_said_when_it_serves_then_that_it_lives_then_that_it_stops(
    program: Main, manager: tuple[socket.socket, str], tmp_path: Path, dsn: str
) -> None:
    listener, told = manager
    port = free_port()
    own = environment(
        tmp_path,
        {"NOTIFY_SOCKET": told, "DATABASE_URL": dsn, "RMQ_URL": NOBODY, "HOST": "127.0.0.1", "PORT": str(port)},
    )
    process = Forked(program, [], tmp_path, own, [Path(os.devnull)] * 3)
    heard: list[str] = []
    try:
        while not {"READY=1", "WATCHDOG=1"} <= set(heard):
            heard.append(listener.recv(100).decode())
            if heard[-1] == "READY=1" and program is api.main:
                with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                    client.sendall(b"GET /ping HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
                    assert client.recv(100).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGTERM)
        while heard[-1] != "STOPPING=1":
            heard.append(listener.recv(100).decode())
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()

    assert heard.count("READY=1") == 1
    assert set(heard) == {"READY=1", "WATCHDOG=1", "STOPPING=1"}
