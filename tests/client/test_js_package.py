"""The npm package: made in earnest, installed into an empty folder, and its bot answers."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import messenger
from proof.lab.processes import clean_environment
from tests.actors import PASSWORD, Person, Server
from tests.apps.talk import says
from tests.client.puppets import MISSING, NODE, ROOT
from tests.sockets import Socket

SOURCE = ROOT / "clients/js"
NPM = shutil.which("npm")
CHECK = str(SOURCE / "check-types")
PATIENCE = 120
TYPED = """
import { apply, Messenger, Problem, type Chat } from "messenger-client";

const client = new Messenger({ url: "http://127.0.0.1/" });
client.onevent = (event, state) => {
  const chat: Chat | undefined = state.chats.get(event.chat_id ?? "");
  const unread: number = chat?.unread ?? 0;
  if (event.type === "new_message" && unread > 0) client.send("1", event.message.text).then(({ seq }) => seq.toFixed());
};
// @ts-expect-error: a text is no number
client.send("1", 2);
export const code = (error: unknown): string | null => (error instanceof Problem ? error.code : null);
export const rule: typeof apply = apply;
"""
TYPES = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom"]

pytestmark = [
    pytest.mark.skipif(not NODE, reason=MISSING),
    pytest.mark.skipif(NPM is None, reason="npm is not installed"),
]


def run(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**clean_environment(), **environment}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def npm(*words: str, folder: Path) -> str:
    assert NPM is not None
    done = run(NPM, *words, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def compiler() -> str:
    """TypeScript, brought as `make lint` brings it."""
    compiler = SOURCE / "node_modules/.bin/tsc"
    if not compiler.exists():
        checked = run(CHECK, folder=ROOT)
        if not compiler.exists():
            pytest.skip(checked.stdout.strip())
    return str(compiler)


@pytest.fixture(scope="module")
def installed(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the package."""
    folder = tmp_path_factory.mktemp("bot")
    tarball = npm("pack", "--silent", "--pack-destination", str(folder), folder=SOURCE).strip()
    (folder / "package.json").write_text('{"type": "module"}')
    npm("install", "--offline", "--no-audit", "--no-fund", f"./{tarball}", folder=folder)
    return folder


def test_the_package_holds_the_one_library_its_types_and_a_bot(installed: Path) -> None:
    package = installed / "node_modules/messenger-client"
    files = {str(file.relative_to(package)) for file in package.rglob("*") if file.is_file()}
    described = json.loads((package / "package.json").read_text())

    assert files == {"LICENSE", "README.md", "examples/echo.js", "messenger.d.ts", "messenger.js", "package.json"}
    assert (package / "messenger.js").read_bytes() == (ROOT / "messenger/apps/client/static/messenger.js").read_bytes()
    assert described["version"] == messenger.__version__
    assert "dependencies" not in described
    assert {file.name for file in SOURCE.iterdir()}.isdisjoint({"messenger.js", "messenger.d.ts", "LICENSE"})


def test_the_readme_shows_the_bot_as_it_is() -> None:
    assert f"```js\n{(SOURCE / 'examples/echo.js').read_text()}```" in (SOURCE / "README.md").read_text()


def test_those_who_write_typescript_get_types(installed: Path, compiler: str) -> None:
    (installed / "typed.ts").write_text(TYPED)

    checked = run(compiler, *TYPES, "typed.ts", folder=installed)

    assert (checked.stdout, checked.returncode) == ("", 0)


def test_lint_says_in_one_line_when_types_cannot_be_checked(tmp_path: Path) -> None:
    for command in ("bash", "dirname"):
        found = shutil.which(command)
        assert found is not None
        (tmp_path / command).symlink_to(found)
    for file in ("check-types", "package.json", ".npmrc"):
        shutil.copy(SOURCE / file, tmp_path)

    without_node = run(CHECK, folder=ROOT, PATH=str(tmp_path))
    without_network = run(str(tmp_path / "check-types"), folder=ROOT, npm_config_registry="http://127.0.0.1:9/")

    for done, reason in ((without_node, "Node.js or npm"), (without_network, "npm could not bring TypeScript")):
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("\n") == 1
        assert done.stdout.startswith(f"Types of JavaScript were not checked: {reason}")


@contextmanager
def bot(folder: Path, *words: str) -> Iterator[None]:
    command = [*NODE, "node_modules/messenger-client/examples/echo.js", *words]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, cwd=folder, stderr=said)
    try:
        yield
    finally:
        process.kill()
        process.wait()
    assert (folder / "said").read_text() == ""


async def test_the_bot_says_everything_back(installed: Path, server: Server, alice: Person) -> None:
    async with Person.registered(server, "echo") as echo:
        lunch = await alice.opens_chat("lunch", [echo])
        async with alice.connects() as socket:
            with bot(installed, f"{server.url}/", "echo", PASSWORD):
                answer = None
                while answer is None:  # it does not listen at once
                    said = await says(alice, lunch, "pizza?")
                    with suppress(TimeoutError):
                        answer = await asyncio.wait_for(heard_from(echo, socket), 1)

    assert answer["text"] == "pizza?"
    assert int(answer["reply_to"]) <= int(said["message_id"])


async def heard_from(person: Person, socket: Socket) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = (await socket.hears("new_message"))["message"]
        if message["sender_id"] == person.user_id:
            return message
