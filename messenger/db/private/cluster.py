"""The private PostgreSQL from its users' side: make it once, lease it, share it, release it.

Synchronous: lease before an event loop runs, and before workers are forked. keeper.py is the process that keeps the
server running; binaries.py chooses the PostgreSQL.
"""

import asyncio
import fcntl
import hashlib
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import asyncpg

from messenger.db.private import keeper
from messenger.db.private.binaries import Binaries, EmbeddedError, choose, major_of_data

__all__ = ["EmbeddedError", "PrivatePostgres", "has_users"]

log = logging.getLogger(__name__)

USER = DATABASE = "messenger"
SETUP_LOCK = "run/setup.lock"
SOCKET_NOTE = "run/socket-folder"
SOCKET_PATH_LIMIT = 100  # the kernel's is 107 on Linux and 103 on macOS
POLL = 0.02
BUILTIN_LOCALE_SINCE = 17
NOT_YET = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

README = """\
The private data of a messenger server.

pg/      the database: users, chats, messages. Never delete or edit it; copy it only when no server runs.
logs/    what the server said. May be deleted when no server runs.
run/     locks and the socket. May be deleted when no server runs, never while one does.
pg.new-* the rest of an interrupted first start. May be deleted when no server runs.

Nothing has to be started or stopped by hand: the database runs while a messenger command uses this folder.
"""


class PrivatePostgres:
    """A lease. The server runs while any process, or any fork of one, holds a lease on its folder."""

    url: str

    def __init__(self, data_dir: Path, users: int, *, bin_dir: Path | None, durable: bool) -> None:
        self._data_dir = data_dir
        self._users: int | None = users
        self._bin_dir = bin_dir
        self._durable = durable
        self._trouble = ""

    @classmethod
    def lease(
        cls, data_dir: Path, *, bin_dir: Path | None = None, durable: bool = True, deadline: float = 60.0
    ) -> "PrivatePostgres":
        """Wait until a query works. `durable=False` is for tests: a power cut may destroy the data."""
        until = time.monotonic() + deadline
        with _plain_errors():
            data_dir = _settle(data_dir)
            lease = cls(data_dir, _wait_for_users_lock(data_dir, until), bin_dir=bin_dir, durable=durable)
            try:
                lease._move_in(until)
                asyncio.run(lease._until_a_query_works(until))
            except BaseException:
                lease.release()
                raise
        return lease

    def watch(self) -> None:
        """Replace a keeper that was killed. Cheap; call it about once a second. Raises when it cannot."""
        if self._users is None:
            return
        with _plain_errors(), _locked(self._data_dir / SETUP_LOCK) as ours:
            if ours:  # else another process does it at this moment
                self._start_keeper_if_gone(time.monotonic() + 10)

    def watch_and_log(self) -> None:
        """The same, for a loop: each trouble is logged once."""
        trouble = ""
        try:
            self.watch()
        except EmbeddedError as error:
            trouble = str(error).replace("\n", " ")
        if trouble and trouble != self._trouble:
            log.error("the private PostgreSQL is away: %s", trouble)
        self._trouble = trouble

    def release(self) -> None:
        # Only closed, never unlocked: forked children share the lock, and each of them still is a user.
        users, self._users = self._users, None
        if users is not None:
            os.close(users)

    def __enter__(self) -> "PrivatePostgres":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _move_in(self, until: float) -> None:
        with _locked(self._data_dir / SETUP_LOCK, until):
            readme = self._data_dir / "README"
            if not readme.exists():
                readme.write_text(README)
            self._socket_dir = _socket_folder(self._data_dir)
            # The port is named because PGPORT in the environment would otherwise change it.
            self.url = f"postgresql://{USER}@/{DATABASE}?host={quote(str(self._socket_dir))}&port={keeper.PORT}"
            self._start_keeper_if_gone(until)

    def _start_keeper_if_gone(self, until: float) -> None:
        """Under the setup lock only: the test takes the lock, and must not turn a new keeper away."""
        with _locked(self._data_dir / keeper.KEEPER_LOCK) as gone:
            if not gone:
                return
        cluster = self._data_dir / keeper.CLUSTER
        binaries = choose(cluster, self._bin_dir)
        _check_disguise()
        if major_of_data(cluster) is None:
            _make_cluster(cluster, binaries, durable=self._durable, until=until)
        (self._data_dir / keeper.FAILURE).unlink(missing_ok=True)
        durability = "durable" if self._durable else "forgetful"
        self._run_keeper(str(self._data_dir), str(binaries.folder), str(self._socket_dir), durability)

    def _run_keeper(self, *arguments: str) -> None:
        # -I and -S: neither the environment nor site-packages can change or delay it.
        started = subprocess.run(
            [sys.executable, "-I", "-S", keeper.__file__, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
            check=False,
        )
        if started.returncode:
            raise EmbeddedError(f"The keeper of PostgreSQL does not start: {_last_line(started.stderr)}")

    async def _until_a_query_works(self, until: float) -> None:
        problem: Exception
        while True:
            try:
                return await self._check_server(until)
            except asyncpg.InvalidCatalogNameError as error:
                problem = error
                await self._create_database()
            except NOT_YET as error:
                problem = error
            self._give_up_if_hopeless(until, problem)
            await asyncio.sleep(POLL)

    async def _check_server(self, until: float) -> None:
        connection = await asyncpg.connect(self.url, timeout=max(0.1, until - time.monotonic()))
        try:
            fsync = await connection.fetchval("SHOW fsync")
        finally:
            await connection.close()
        if self._durable and fsync != "on":
            raise EmbeddedError(
                f"{self._data_dir} is being used by a test that does not keep data.\nUse another DATA_DIR."
            )

    async def _create_database(self) -> None:
        with suppress(*NOT_YET):  # another user was quicker, or the next try finds out
            connection = await asyncpg.connect(self.url, database="postgres")
            try:
                await connection.execute(f"CREATE DATABASE {DATABASE}")
            finally:
                await connection.close()

    def _give_up_if_hopeless(self, until: float, problem: Exception) -> None:
        with _locked(self._data_dir / SETUP_LOCK, until):
            with _locked(self._data_dir / keeper.KEEPER_LOCK) as keeper_gone:
                failure = ""
                with suppress(FileNotFoundError):
                    failure = (self._data_dir / keeper.FAILURE).read_text()
            if keeper_gone:
                if failure:
                    raise EmbeddedError(f"{failure}\nSee {self._data_dir / keeper.LOG}.")
                self._start_keeper_if_gone(until)
        if time.monotonic() > until:
            said = failure or f"PostgreSQL does not answer: {problem or 'no reason given'}"
            raise EmbeddedError(f"{said}\nSee {self._data_dir / keeper.LOG}.")


def _settle(data_dir: Path) -> Path:
    data_dir = data_dir.expanduser().absolute()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir = data_dir.resolve()
    _private_folder(data_dir / "run")
    (data_dir / "logs").mkdir(mode=0o700, exist_ok=True)
    cluster = data_dir / keeper.CLUSTER
    if cluster.exists() and cluster.stat().st_uid != os.geteuid():
        raise EmbeddedError(
            f"{cluster} belongs to another user (uid {cluster.stat().st_uid}).\n"
            "Run as that user, or use another DATA_DIR."
        )
    return data_dir


def _wait_for_users_lock(data_dir: Path, until: float) -> int:
    """Shared. It is refused only while a keeper stops the server for lack of users."""
    # Inherited by fork, closed by exec: workers are users, programs they run are not.
    users = os.open(data_dir / keeper.USERS_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    while not keeper.try_lock(users, fcntl.LOCK_SH):
        if time.monotonic() > until:
            os.close(users)
            raise EmbeddedError(f"The PostgreSQL in {data_dir} is still stopping.\nTry again a little later.")
        time.sleep(POLL)
    return users


def has_users(data_dir: Path) -> bool:
    """Without users its keeper, which then holds the lock alone, stops it."""
    users = os.open(data_dir / keeper.USERS_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return not keeper.try_lock(users, fcntl.LOCK_EX) and keeper.try_lock(users, fcntl.LOCK_SH)
    finally:
        os.close(users)


@contextmanager
def _locked(path: Path, until: float | None = None) -> Iterator[bool]:
    """Hold the lock, and say whether it was got. With `until`, wait for it and raise when it stays away."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not (got := keeper.try_lock(fd, fcntl.LOCK_EX)) and until is not None:
            if time.monotonic() > until:
                raise EmbeddedError(f"{path} stays locked.\nAnother start seems to hang: end it, try again.")
            time.sleep(POLL)
        yield got
    finally:
        # Unlocked, not merely closed: a worker forked at this moment holds a copy of the descriptor.
        if got:
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _socket_folder(data_dir: Path) -> Path:
    folder = data_dir / "run"
    if _fits_a_socket(folder):
        return folder
    # Written down, because another user of the same data may have another TMPDIR.
    note = data_dir / SOCKET_NOTE
    if note.exists() and (noted := Path(note.read_text())).is_dir():
        folder = noted
    else:
        name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
        places = (Path(place, f"messenger-{os.geteuid()}", name) for place in (tempfile.gettempdir(), "/tmp"))
        folder = next((place for place in places if _fits_a_socket(place)), folder)
    _private_folder(folder.parent)
    _private_folder(folder)
    note.write_text(str(folder))
    return folder


def _fits_a_socket(folder: Path) -> bool:
    # Commas and the like have a meaning in lists of socket folders and in URLs.
    path = os.fsencode(folder / keeper.SOCKET)
    return len(path) <= SOCKET_PATH_LIMIT and re.fullmatch(rb"[\w/.+-]+", path) is not None


def _private_folder(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    seen = folder.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
        raise EmbeddedError(
            f"{folder} must be a folder of mode 0700 that belongs to uid {os.geteuid()}.\n"
            "It is not: correct or remove it."
        )


def _make_cluster(cluster: Path, binaries: Binaries, *, durable: bool, until: float) -> None:
    """In a folder beside and renamed at the end: a half-made cluster never has the name of a finished one."""
    for abandoned in cluster.parent.glob(f"{cluster.name}.new-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{cluster.name}.new-", dir=cluster.parent))
    try:
        _initdb(draft, binaries, durable=durable, until=until)
        draft.rename(cluster)
        folder = os.open(cluster.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _initdb(draft: Path, binaries: Binaries, *, durable: bool, until: float) -> None:
    command = [*keeper.disguise(), binaries.initdb, "-D", str(draft), "-U", USER, "--no-instructions"]
    # The socket is in a folder of ours alone: who reaches it has passed the only gate there is.
    command += ["--auth=trust", "--encoding=UTF8", "--data-checksums"]
    if not durable:
        command.append("--no-sync")
    for locale in _locales(binaries.major):
        try:
            done = subprocess.run(
                [*command, *locale],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=_environment(),
                timeout=max(1.0, until - time.monotonic()),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EmbeddedError(f"initdb did not finish in time in {draft.parent}.\nIs the disk slow?") from error
        if done.returncode == 0:
            return
        if b"locale" not in done.stderr:
            break
    raise EmbeddedError(f"initdb failed: {_last_line(done.stderr)}")


def _locales(major: int) -> list[list[str]]:
    """The best first. `C` alone does not know that Cyrillic has upper and lower case."""
    locales = [["--locale=C"]]
    if major >= BUILTIN_LOCALE_SINCE:
        locales.insert(0, ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"])
    if sys.platform == "linux":
        locales.insert(0, ["--locale=C.UTF-8"])
    return locales


def _check_disguise() -> None:
    if os.geteuid() != 0:
        return
    with suppress(OSError):
        # On other systems there is no disguise, and PostgreSQL would refuse: say it in our words.
        disguise = keeper.disguise()
        if disguise and not subprocess.run([*disguise, "true"], capture_output=True, check=False).returncode:
            return
    raise EmbeddedError(
        "PostgreSQL does not run as root, and this system refuses `unshare --user` to hide it.\n"
        "Run as a normal user, or set DATABASE_URL to a database of your own."
    )


def _environment() -> dict[str, str]:
    # PGPORT, PGDATA, PGOPTIONS and their like speak of somebody else's server.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise EmbeddedError(
            f"The private PostgreSQL cannot be used: {error.strerror or error}{where}.\n"
            "Correct this, use another DATA_DIR, or set DATABASE_URL."
        ) from error


def _last_line(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line or "FATAL:" in line]
    return (errors or lines or ["no reason given"])[-1].strip()
