"""Who has read one line of the README: clone, `make run`, and two people talk."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from proof.lab.processes import ROOT, Program, clean_environment, free_port
from proof.lab.waiting import happens
from tests.page.people import Reader

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SECONDS = 300.0  # a bound; 90 are claimed of a machine that does nothing else


class Machine(Program):
    """Somebody's, with an empty home. Programs come from where this machine gets them."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        self.environment = {**clean_environment(), **pip, "HOME": str(self.home), "PORT": str(free_port())}

    def clones(self) -> None:
        subprocess.run(["git", "clone", "--quiet", ROOT, self.home / "messenger"], env=self.environment, check=True)

    async def makes_it_run(self) -> str:
        """The address that the log names."""
        self.spawn(["make", "run"], self.home / "said", self.environment, self.home / "messenger")

        async def runs() -> bool:
            assert self.is_running, self.said
            return self.address is not None

        await happens(runs, "a server", SECONDS)
        return f"{self.address}/"

    @property
    def address(self) -> str | None:
        found = re.search(r'"event":"ready","url":"([^"]+)"', self.said)
        return found[1] if found else None

    @property
    def said(self) -> str:
        return (self.home / "said").read_text()

    def stops(self) -> None:
        if self.popen is not None:
            os.killpg(self.popen.pid, signal.SIGINT)
            self.popen.wait()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.stops()


async def visit(browser: Browser, address: str) -> Page:
    page = await (await browser.new_context(locale="en-GB")).new_page()
    await page.goto(address)
    return page


async def test_a_word_is_heard_after_five_actions(machine: Machine, browser: Browser) -> None:
    began = time.monotonic()
    machine.clones()
    address = await machine.makes_it_run()
    runs = time.monotonic() - began
    ben = await Reader(await visit(browser, address), "ben").registers()  # somebody else comes there as well
    ann = await Reader(await visit(browser, address), "ann").registers()
    await ann.finds(ben.name)
    await ann.says("Hello")

    await ben.sees_in_the_list(ann.name, "Hello")
    took = time.monotonic() - began
    print(f"from the clone to the first message: {took:.0f} s, {runs:.0f} of them until the server runs")
    assert took < SECONDS
