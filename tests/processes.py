"""Real server processes on one PostgreSQL, and what a test may do to them: kill, restart, replace, start beside.

Whoever asks is outside of them: people with credentials, a journal of what was sent and what was acknowledged, and
followers that come back anywhere with nothing but their cursor.
"""

import asyncio
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import asyncpg
import msgspec
import psutil  # type: ignore[import-untyped]

import messenger
from messenger.db import keeper
from messenger.db.binaries import choose

T = TypeVar("T")

ROOT = Path(messenger.__file__).parent.parent
SCALE = float(os.environ.get("FAULTS_SCALE", "0.12"))  # 1 is the full size
PATIENCE = 30.0
STEP = 0.01
PASSWORD = "correct horse"
AWAY = (aiohttp.ClientError, OSError, TimeoutError)
CONTROL = {"hello", "ready", "resumed", "ack", "error", "pong", "typing", "presence"}


def sized(full: int, *, least: int = 1) -> int:
    """A number of rounds or messages: FAULTS_SCALE=1 runs all of them."""
    return max(least, int(full * SCALE))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "LANG"))}


async def happens(is_so: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE) -> float:
    """Wait for something outside; the seconds it took."""
    began = time.monotonic()
    while not await is_so():
        assert time.monotonic() - began < seconds, f"{what} did not happen within {seconds} s"
        await asyncio.sleep(STEP)
    return time.monotonic() - began


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, T]) -> AsyncIterator[list["asyncio.Task[T]"]]:
    """All at the same time, and none of it longer than the block."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def end_all(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=5)


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it; children first, so that none of them is adopted and forgotten."""
    with suppress(psutil.NoSuchProcess):
        return [*process.children(recursive=True), process]
    return []


# --- processes


class Process:
    """One `messenger-api` in a process group of its own."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = settings
        self.popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def start(self) -> Self:
        assert not self.is_running
        environment = {
            **clean_environment(),
            "PYTHONPATH": str(ROOT),
            "DATA_DIR": str(self.folder / "data"),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "LOG_LEVEL": "ERROR",
            **self.settings,
        }
        with (self.folder / f"said-{self.port}").open("ab") as said:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "messenger"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        return self

    @property
    def said(self) -> str:
        return (self.folder / f"said-{self.port}").read_text()

    def workers(self) -> list[psutil.Process]:
        assert self.popen is not None
        with suppress(psutil.NoSuchProcess):
            return [one for one in psutil.Process(self.popen.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
        return []

    def kill_workers(self) -> None:
        workers = self.workers()
        assert workers, "there is a worker to kill"
        for worker in workers:
            worker.kill()

    def kill(self) -> None:
        """The whole group at once: the master and its workers."""
        if self.popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()

    async def is_ready(self) -> bool:
        assert self.popen is not None
        assert self.is_running, f"it left with {self.popen.returncode}: {self.said}"
        with suppress(*AWAY):
            timeout = aiohttp.ClientTimeout(total=2)
            async with aiohttp.ClientSession() as http, http.get(f"{self.url}/readyz", timeout=timeout) as answer:
                return answer.status == 200
        return False

    async def ready(self, seconds: float = PATIENCE) -> Self:
        await happens(self.is_ready, f"the server on port {self.port}", seconds)
        return self


class House:
    """A data folder with its private PostgreSQL, and every process that was started on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self._pairs: dict[str, tuple[Process, Process]] = {}

    def process(self, **settings: str) -> Process:
        one = Process(self.folder, settings)
        self.processes.append(one)
        return one.start()

    async def pair(self, **settings: str) -> tuple[Process, Process]:
        """Two processes with these settings; kept for the next test that asks, revived if it has to be."""
        name = json.dumps(settings, sort_keys=True)
        if name not in self._pairs:
            first = await self.process(**settings).ready()  # the first one makes cluster and schema
            self._pairs[name] = first, self.process(**settings)
        for one in self._pairs[name]:
            await (one if one.is_running else one.start()).ready()
        return self._pairs[name]

    @property
    def cluster(self) -> Path:
        return self.folder / "data" / keeper.CLUSTER

    @property
    def dsn(self) -> str:
        return f"postgresql://messenger@/messenger?host={quote(str(self._socket_folder))}&port={keeper.PORT}"

    @property
    def _socket_folder(self) -> Path:
        note = self.folder / "data" / "run" / "socket-folder"
        return Path(note.read_text()) if note.exists() else note.parent

    def kill_postgres(self) -> None:
        """Postmaster and children, as at a crash of the machine under it."""
        pid = int((self.cluster / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        with suppress(psutil.NoSuchProcess):
            postmaster.suspend()  # it must not start anybody while its children are counted
        for process in family(postmaster):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def close(self) -> None:
        for one in self.processes:
            one.kill()
        # Nobody uses the database now, and its keeper stops it; whoever is still there after that is ended.
        until = time.monotonic() + PATIENCE
        while (left := processes_of(self.folder)) and time.monotonic() < until:
            time.sleep(STEP)
        end_all(left)
        assert not left, f"the private PostgreSQL stayed behind: {left}"


def processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in word for word in process.cmdline()):
                found.append(process)
    return found


class Postgres:
    """A PostgreSQL that a test runs by hand: its data can be copied, promoted and put in another's place."""

    def __init__(self, data: Path, door: Path) -> None:
        self.data = data
        self.door = door
        self.popen: subprocess.Popen[bytes] | None = None
        self.bin = choose(data).folder

    @property
    def dsn(self) -> str:
        return f"postgresql://messenger@/postgres?host={quote(str(self.door))}&port=5432"

    @classmethod
    def made(cls, folder: Path) -> Self:
        one = cls(folder / "original", folder / "door")
        one._run("initdb", "-D", str(one.data), "-U", "messenger", "--auth=trust", "--no-sync")
        return one

    def start(self, door: Path | None = None) -> Self:
        self.door = door or self.door
        self.door.mkdir(mode=0o700, exist_ok=True)
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self.door}", "-c", "port=5432"]
        log = self.data.with_suffix(".log").open("ab")
        with log:
            self.popen = subprocess.Popen(
                [*keeper.disguise(), str(self.bin / "postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
                start_new_session=True,
            )
        return self

    def kill(self) -> None:
        if self.popen is not None:
            if self.popen.poll() is None:
                end_all(family(psutil.Process(self.popen.pid)))
            self.popen.wait()
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def copied(self, name: str) -> "Postgres":
        """A physical copy taken while it runs. It starts as a standby that waits for more of the log."""
        target = self.data.parent / name
        self._run(
            "pg_basebackup", "-D", str(target), "-h", str(self.door), "-U", "messenger", "-c", "fast", "--no-sync"
        )
        (target / "standby.signal").touch()
        return Postgres(target, self.data.parent / f"door-{name}")

    async def ready(self) -> Self:
        async def answers() -> bool:
            assert self.popen is not None and self.popen.poll() is None, self.data.with_suffix(".log").read_text()
            try:
                connection = await asyncpg.connect(self.dsn, timeout=2)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return False
            connection.terminate()
            return True

        await happens(answers, f"PostgreSQL in {self.data.name}")
        return self

    def promote(self) -> None:
        """From here on its log is its own, on a new timeline."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "promote")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*keeper.disguise(), str(self.bin / program), *arguments]
        done = subprocess.run(command, capture_output=True, env=clean_environment(), check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr.decode()


# --- people


@dataclass
class Actor:
    """Somebody signed in; every process knows them. Credentials only, so that tests can share them."""

    name: str
    user_id: str
    session_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"session_id {self.session_id}"}


@dataclass(frozen=True)
class Reply:
    status: int
    json: Any
    headers: Any = None


class Client:
    """A device of somebody. Says what came back; a process that does not answer raises one of AWAY."""

    def __init__(self, http: aiohttp.ClientSession, actor: Actor) -> None:
        self.http = http
        self.actor = actor

    async def asks(self, process: Process, method: str, path: str, body: Any = None, *, seconds: float = 10) -> Reply:
        async with self.http.request(
            method,
            process.url + path,
            data=None if body is None else msgspec.json.encode(body),
            headers=self.actor.headers,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as answer:
            raw = await answer.read()
            return Reply(answer.status, msgspec.json.decode(raw) if raw else None, answer.headers)

    async def get(self, process: Process, path: str) -> Any:
        answer = await self.asks(process, "GET", path)
        assert answer.status == 200, answer
        return answer.json

    async def post(self, process: Process, path: str, body: Any = None) -> Any:
        answer = await self.asks(process, "POST", path, body)
        assert answer.status in {200, 201, 204}, answer
        return answer.json

    async def says(self, process: Process, chat: str, text: str, **keys: Any) -> Any:
        return await self.post(process, f"/v1/chats/{chat}/messages", {"text": text, **keys})

    async def opens_chat(self, process: Process, name: str, members: Sequence[Actor] = ()) -> str:
        ids = [one.user_id for one in members]
        made = await self.post(process, "/v1/chats", {"chat_name": name, "member_ids": ids})
        return str(made["chat_id"])

    async def reads_all(self, process: Process, chat: str) -> list[Any]:
        found: list[Any] = []
        start = "1"
        while True:
            page = await self.get(process, f"/v1/chats/{chat}/messages?limit=1000&from={start}")
            found += page["messages"]
            start = page["next"]["iterator"]
            if not page["messages"]:
                return found

    async def cursor(self, process: Process) -> str:
        return str((await self.get(process, "/v1/sync"))["cursor"])

    @asynccontextmanager
    async def socket(self, process: Process, cursor: str = "") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        url = f"{process.url}/v1/ws" + (f"?cursor={cursor}" if cursor else "")
        socket = await self.http.ws_connect(url, headers=self.actor.headers, max_msg_size=0)
        try:
            yield socket
        finally:
            cut(socket._response)
            await socket.close()


def cut(response: aiohttp.ClientResponse) -> None:
    """No goodbye: the connection is gone in the middle of whatever was on its way."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


async def sign_up(process: Process, names: Sequence[str]) -> list[Actor]:
    for name in names:
        await _post(process, "/v1/auth/register", {"user_name": name, "password": PASSWORD})
    return [await sign_in(process, name) for name in names]


async def sign_in(process: Process, name: str) -> Actor:
    found = await _post(process, "/v1/auth/login", {"user_name": name, "password": PASSWORD})
    return Actor(name, found["user_id"], found["session_id"])


async def _post(process: Process, path: str, body: Any) -> Any:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        async with http.post(process.url + path, data=msgspec.json.encode(body)) as answer:
            assert answer.status in {200, 201}, await answer.text()
            return msgspec.json.decode(await answer.read())


@asynccontextmanager
async def clients(*actors: Actor) -> AsyncIterator[list[Client]]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield [Client(http, actor) for actor in actors]


# --- the journal


@dataclass
class Journal:
    """Every send and every acknowledgement, on disk, written by nobody but the one who sent."""

    path: Path
    in_flight: int = 0
    acked: int = 0
    unknowns: int = 0

    def begins(self, key: str, chat: str) -> None:
        self.in_flight += 1
        self._write({"what": "send", "key": key, "chat": chat})

    def acknowledges(self, key: str, message: Any) -> None:
        self.in_flight -= 1
        self.acked += 1
        self._write({"what": "ack", "key": key, **{name: message[name] for name in ("chat_id", "seq", "message_id")}})

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def acks(self) -> list[dict[str, Any]]:
        return [line for line in self._lines() if line["what"] == "ack"]

    def sends(self) -> list[dict[str, Any]]:
        return [line for line in self._lines() if line["what"] == "send"]

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


async def send_until_known(
    client: Client, processes: Sequence[Process], chat: str, journal: Journal, choice: random.Random
) -> None:
    """As a good client does: the same key again for as long as nobody says what became of it."""
    key = secrets.token_hex(8)
    journal.begins(key, chat)
    body = {"text": f"text of {key}", "client_id": key}
    while True:
        try:
            path = f"/v1/chats/{chat}/messages"
            answer = await client.asks(choice.choice(processes), "POST", path, body, seconds=5)
        except AWAY:
            answer = None
        if answer is not None and answer.status in {200, 201}:
            journal.acknowledges(key, answer.json)
            return
        assert answer is None or answer.status == 503, answer
        journal.unknowns += 1
        await asyncio.sleep(0.05)


# --- followers


class Cut(Exception):
    """The test pulled the plug."""


@dataclass
class Follower:
    """A client that remembers a cursor and nothing else of its connections, and comes back anywhere."""

    client: Client
    way: str  # socket, sse or poll
    cursor: str
    anywhere: Callable[[], Process]
    is_over: Callable[[dict[str, Any]], bool] = lambda event: False
    heard: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)  # what the events were on the wire, to be compared between ways
    cuts: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # how connections ended that nobody here cut
    connections: int = 0
    is_at_end: bool = False
    _left: int | None = None

    async def follow(self, plan: Sequence[int] = ()) -> None:
        """Until `is_over`. `plan`: after how many events the plug is pulled, connection by connection."""
        ways = {"socket": self._over_socket, "sse": self._over_sse, "poll": self._over_poll}
        pulls = iter(plan)
        self._left = next(pulls, None)
        while not self.is_at_end:
            self.connections += 1
            try:
                await ways[self.way](self.anywhere())
                self.ends["end"] += 1
            except Cut:
                self.cuts += 1
                self._left = next(pulls, None)
            except AWAY as error:
                self.ends[str(getattr(error, "status", type(error).__name__))] += 1
                await asyncio.sleep(0.02)

    def take(self, raw: bytes) -> None:
        event = msgspec.json.decode(raw)
        if event["type"] in CONTROL:
            return
        self.heard.append(event)
        self.raw.append(raw)
        self.cursor = event["cursor"]
        self.is_at_end = self.is_over(event)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Cut

    async def _over_socket(self, process: Process) -> None:
        async with self.client.socket(process, self.cursor) as socket:
            async for frame in socket:
                self.take(frame.data.encode())
                if self.is_at_end:
                    return
            self.ends[str(socket.close_code)] += 1

    async def _over_sse(self, process: Process) -> None:
        headers = {**self.client.actor.headers, "Accept": "text/event-stream", "Last-Event-ID": self.cursor}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=PATIENCE)
        response = await self.client.http.get(f"{process.url}/v1/events", headers=headers, timeout=timeout)
        try:
            response.raise_for_status()
            rest = b""
            async for piece in response.content.iter_any():
                *blocks, rest = (rest + piece).split(b"\n\n")
                for block in blocks:
                    fields = dict(line.split(b": ", 1) for line in block.splitlines() if line[:1] != b":")
                    if b"data" in fields:
                        self.take(fields[b"data"])
                    if self.is_at_end:
                        return
        finally:
            cut(response)
            response.close()

    async def _over_poll(self, process: Process) -> None:
        """The cursor of the answer is kept only with the events that came with it."""
        path = f"{process.url}/v1/events?wait=5&after={quote(self.cursor)}"
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        response = await self.client.http.get(path, headers=self.client.actor.headers, timeout=timeout)
        try:
            response.raise_for_status()
            answer = msgspec.json.decode(await response.read(), type=Polled)
            for event in answer.events:
                if not self.is_at_end:  # what came after the end in one answer is nobody's
                    self.take(bytes(event))
            if not self.is_at_end:
                self.cursor = answer.cursor
        finally:
            cut(response)
            response.close()

    def said_in(self, chat: str) -> list[int]:
        return [one["message"]["seq"] for one in self.heard if one["type"] == "new_message" and one["chat_id"] == chat]

    def positions(self) -> list[int]:
        return [int(one["cursor"].partition(".")[2]) for one in self.heard]


def ends(event: dict[str, Any]) -> bool:
    """What a test says last, so that its followers know."""
    return bool(event["type"] == "new_message" and event["message"]["text"] == "the end")


class Polled(msgspec.Struct):
    events: list[msgspec.Raw]
    cursor: str


NAMES = count(1)


def new_name(stem: str) -> str:
    return f"{stem}-{os.getpid()}-{next(NAMES)}"
