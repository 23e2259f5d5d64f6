"""Who has read no documentation: clone, `make run`, and two people talk."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from proof.lab.processes import ROOT, Program, end_all, free_port
from proof.lab.waiting import happens
from tests.page.conftest import find_browser
from tests.page.people import LONG, Reader

pytestmark = pytest.mark.long

ACTIONS = 5
SECONDS = 300.0  # ninety are claimed, of a machine that does nothing else


class Newcomer(Program):
    """A machine with an empty home and a clone in it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.clone = self.home / "messenger"
        self.port = free_port()
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "PORT": str(self.port),
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_proxy")},
        }  # fmt: skip

    @property
    def said(self) -> str:
        return (self.home / "said").read_text()


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    newcomer = Newcomer(tmp_path)
    yield newcomer
    end_all(newcomer.processes())


async def test_two_people_talk_within_five_actions(newcomer: Newcomer) -> None:
    began = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", ROOT, newcomer.clone], env=newcomer.environment, check=True)
    newcomer.spawn(["make", "run"], newcomer.home / "said", newcomer.environment, newcomer.clone)

    async def answers() -> bool:
        assert newcomer.is_running, newcomer.said
        return re.search(r"http://127\.0\.0\.1:\d+/\s", newcomer.said) is not None

    await happens(answers, "the banner names the page", SECONDS)
    [page, *_] = re.findall(r"http://127\.0\.0\.1:\d+/(?=\s)", newcomer.said)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser())
        ann, ben = [Reader(await (await browser.new_context()).new_page(), name) for name in ("ann", "ben")]
        for one in (ann, ben):
            await one.page.goto(page)
            await one.registers()
