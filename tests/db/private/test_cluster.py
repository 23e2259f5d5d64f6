"""The private PostgreSQL under everything that happens to processes. Real servers, real kills."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from messenger.db.private import binaries, keeper
from messenger.db.private.cluster import EmbeddedError, PrivatePostgres

CHECKOUT = Path(__file__).parents[3]
NOBODY = 65534
ROOT = os.geteuid() == 0

# A user as a process: leases, says where, then obeys lines until its end.
USER = """
import os, sys
from pathlib import Path
from messenger.db.private.cluster import PrivatePostgres
bin_dir = Path(sys.argv[2]) if sys.argv[2] else None
lease = PrivatePostgres.lease(Path(sys.argv[1]), bin_dir=bin_dir, durable=sys.argv[3] == "durable")
print(lease.url, flush=True)
for line in sys.stdin:
    match line.strip():
        case "watch": lease.watch()
        case "release": lease.release()
        case "fork":
            child = os.fork()
            if child == 0:
                os.read(0, 1)
                os._exit(0)
            print(child, flush=True)
            continue
    print("done", flush=True)
"""


class User:
    def __init__(
        self,
        data_dir: Path,
        *,
        bin_dir: Path | str = "",
        python: str = sys.executable,
        uid: int | None = None,
        durable: bool = False,
    ) -> None:
        self.process = subprocess.Popen(
            [python, "-c", USER, data_dir, bin_dir, "durable" if durable else ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=user_environment(),
            cwd="/",
            process_group=0,
            **drop_to(uid),
        )

    def url(self) -> str:
        return self._hear()

    def obeys(self, order: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self._hear()

    def dies(self) -> None:
        """With its whole process group, as under a terminal or a service manager."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def _hear(self) -> str:
        assert self.process.stdout
        said = self.process.stdout.readline().strip()
        assert said, "the user process ended"
        return said


class Cluster:
    """A data folder, and what runs for it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.users: list[User] = []
        self.leases: list[PrivatePostgres] = []

    def lease(self, *, bin_dir: Path | None = None, durable: bool = False) -> PrivatePostgres:
        lease = PrivatePostgres.lease(self.data_dir, bin_dir=bin_dir, durable=durable, deadline=20)
        self.leases.append(lease)
        return lease

    def user(self, **how: object) -> User:
        user = User(self.data_dir, **how)  # type: ignore[arg-type]
        self.users.append(user)
        return user

    def keepers(self) -> list[int]:
        return processes(str(Path(keeper.__file__)), str(self.data_dir))

    def postmasters(self) -> list[int]:
        return processes("postgres", f"-D {self.data_dir / keeper.CLUSTER} ")

    def is_quiet(self) -> bool:
        return not self.keepers() and not self.postmasters()

    def empty(self) -> None:
        for lease in self.leases:
            lease.release()
        for user in self.users:
            user.dies()
        try:
            eventually(self.is_quiet, within=15)
        finally:
            kill(*self.keepers(), *self.postmasters())


@pytest.fixture
def short() -> Iterator[Path]:
    """A short path: a socket must fit below it on every system."""
    folder = Path(tempfile.mkdtemp(prefix="m-", dir=place_for_clusters())).resolve()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def house_at(short: Path) -> Iterator[Callable[[Path], Cluster]]:
    # Asks for `short` so that the folder outlives the servers in it.
    houses: list[Cluster] = []

    def at(data_dir: Path) -> Cluster:
        houses.append(Cluster(data_dir))
        return houses[-1]

    yield at
    for house in houses:
        house.empty()


@pytest.fixture
def new_house(short: Path, house_at: Callable[[Path], Cluster]) -> Cluster:
    """Nobody has ever been there."""
    return house_at(short / "data")


@pytest.fixture(scope="module")
def left_behind() -> Iterator[Path]:
    """The files of a database that has been used before."""
    folder = Path(tempfile.mkdtemp(prefix="m-", dir=place_for_clusters()))
    cluster = Cluster(folder)
    cluster.lease()
    cluster.empty()
    yield folder / keeper.CLUSTER
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def house(new_house: Cluster, left_behind: Path) -> Cluster:
    """A copy costs a fifth of a first start."""
    new_house.data_dir.mkdir(mode=0o700)
    shutil.copytree(left_behind, new_house.data_dir / keeper.CLUSTER)
    return new_house


def test_the_first_start_makes_a_database_and_the_second_finds_it_again(new_house):
    with new_house.lease() as first:
        write_a_row(first.url)
    eventually(new_house.is_quiet)

    second = new_house.lease()

    assert rows(second.url) == 1
    assert "Never delete" in (new_house.data_dir / "README").read_text()


def test_what_is_durable_and_how_text_is_kept(new_house):
    lease = new_house.lease(durable=True)

    for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
        assert ask(lease.url, f"SHOW {setting}") == "on", setting
    by = "syncfs" if sys.platform == "linux" else "fsync"
    assert ask(lease.url, "SHOW recovery_init_sync_method") == by, "all is flushed before a recovery, and quickly"
    assert ask(lease.url, "SHOW server_encoding") == "UTF8"
    assert ask(lease.url, "SELECT 'Ёлка' ILIKE 'ёЛКА'")
    assert ask(lease.url, "SHOW listen_addresses") == ""


@pytest.mark.parametrize(("gib", "mib"), [(0.25, 128), (1, 128), (4, 256), (8, 512), (24, 1024), (512, 1024)])
def test_more_memory_keeps_more_of_the_tables_at_hand(gib, mib):
    assert keeper.buffers(int(gib * 2**30)) == mib


def test_a_container_counts_as_a_machine_of_its_size(house, tmp_path, monkeypatch):
    whole = keeper.memory()
    monkeypatch.setattr(keeper, "CONTAINER", str(tmp_path / "memory.max"))
    for limit, counted in (("max", whole), (str(2**30), 2**30), (str(2**60), whole)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert keeper.memory() == counted, limit
    monkeypatch.undo()

    used = ask(house.lease(durable=True).url, "SELECT pg_size_bytes(current_setting('shared_buffers'))")

    assert used == keeper.buffers(whole) * 2**20


def test_who_wants_durability_never_shares_a_server_without_it(house):
    house.lease(durable=False)

    with pytest.raises(EmbeddedError, match="does not keep data"):
        house.lease(durable=True)


def test_three_at_once_make_one_cluster_and_share_one_server(new_house, short):
    counted = binaries_with_counted_initdb(short)

    users = [new_house.user(bin_dir=counted) for _ in range(3)]

    assert [ask(user.url(), "SELECT 1") for user in users] == [1, 1, 1]
    assert (short / "initdb-runs").read_text() == "run\n"
    assert len(new_house.postmasters()) == len(new_house.keepers()) == 1


def test_a_killed_user_leaves_no_server_behind_and_loses_nothing(house):
    user = house.user()
    write_a_row(user.url())

    user.dies()

    eventually(house.is_quiet)
    assert rows(house.lease().url) == 1


@pytest.mark.parametrize("with_children", [False, True], ids=["postmaster", "postmaster and children"])
def test_a_killed_server_is_back_soon_for_the_same_lease(house, with_children):
    lease = house.lease(durable=True)
    write_a_row(lease.url, checkpoint=False)
    [postmaster] = house.postmasters()

    kill(postmaster, *(children(postmaster) if with_children else ()))

    eventually(lambda: answers(lease.url) and house.postmasters() != [postmaster], within=5)
    assert rows(lease.url) == 1


def test_a_killed_keeper_is_replaced_and_the_next_one_adopts_the_server(house):
    lease = house.lease()
    write_a_row(lease.url)
    [first_keeper], [postmaster] = house.keepers(), house.postmasters()

    kill(first_keeper)
    eventually(lambda: not house.keepers())
    lease.watch()

    assert house.keepers() and house.keepers() != [first_keeper]
    assert rows(lease.url) == 1
    assert house.postmasters() == [postmaster]

    # The new keeper is no parent of this server, and still sees it die and stops its successor.
    kill(postmaster)
    eventually(lambda: answers(lease.url), within=5)
    assert rows(lease.url) == 1
    lease.release()
    eventually(house.is_quiet)


def test_an_adopted_server_is_stopped_after_its_last_user(house):
    lease = house.lease()
    [postmaster] = house.postmasters()
    kill(*house.keepers())
    eventually(lambda: not house.keepers())
    lease.watch()
    assert house.postmasters() == [postmaster]

    lease.release()

    eventually(house.is_quiet)
    assert house.postmasters() == house.keepers() == []


def test_a_start_after_everything_was_killed(house):
    user = house.user(durable=True)
    write_a_row(user.url(), checkpoint=False)
    [postmaster] = house.postmasters()

    kill(*house.keepers(), postmaster, *children(postmaster))
    user.dies()

    assert rows(house.lease(durable=True).url) == 1


def test_a_power_cut_leaves_a_number_that_is_somebody_elses_now(house):
    house.lease().release()
    eventually(house.is_quiet)
    (house.data_dir / "pg" / "postmaster.pid").write_text(f"{os.getpid()}\n{house.data_dir / 'pg'}\n")

    assert answers(house.lease().url)


def test_a_start_after_everybody_but_the_server_was_killed(house):
    user = house.user()
    write_a_row(user.url())
    before = house.postmasters()

    kill(*house.keepers())
    user.dies()
    eventually(lambda: not house.keepers())  # a newcomer must not take a dying one for a living one

    assert rows(house.lease().url) == 1
    assert house.postmasters() == before


def test_the_first_release_changes_nothing_and_the_last_stops_the_server(house):
    first, last = house.lease(), house.lease()
    write_a_row(last.url)
    [postmaster] = house.postmasters()

    first.release()
    first.release()
    first.watch()
    last.watch()

    assert house.postmasters() == [postmaster]
    assert_still_kept(house, last.url)
    last.release()
    eventually(house.is_quiet)


def test_a_stray_signal_does_not_take_a_shared_server_away(house):
    lease = house.lease()
    write_a_row(lease.url)

    for keeper_pid in house.keepers():
        os.kill(keeper_pid, signal.SIGTERM)
        os.kill(keeper_pid, signal.SIGINT)

    assert_still_kept(house, lease.url)


def test_an_orphaned_worker_still_is_a_user(house):
    master = house.user()
    url = master.url()
    write_a_row(url)
    worker = int(master.obeys("fork"))
    try:
        master.process.kill()
        master.process.wait()

        assert_still_kept(house, url)
    finally:
        kill(worker)
    eventually(house.is_quiet)


def test_users_come_and_go_quickly_and_never_meet_a_dying_server(house):
    for _ in range(8):
        with house.lease() as lease:
            assert ask(lease.url, "SELECT 1") == 1
        # The keeper may at this very moment be taking the last user's leave.
        time.sleep(keeper.POLL * 0.9)


def test_a_data_path_longer_than_a_socket_may_be(house_at, short, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    house = house_at(short / ("a-long-name-" * 10) / "data, of 'mine'")

    lease = house.lease()
    write_a_row(lease.url)

    [runtime] = short.glob("messenger-*/*")
    assert mode(runtime) == mode(runtime.parent) == 0o700
    # Another user of the same data finds the socket whatever its own temporary folder is.
    assert rows(house.user().url()) == 1


@pytest.mark.parametrize("trap", ["symlink", "open to all"])
def test_a_runtime_folder_that_is_not_ours_is_refused(house_at, short, monkeypatch, trap):
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    runtime = short / f"messenger-{os.geteuid()}"
    if trap == "symlink":
        (short / "elsewhere").mkdir(mode=0o700)
        runtime.symlink_to("elsewhere")
    else:
        runtime.mkdir()
        runtime.chmod(0o777)

    with pytest.raises(EmbeddedError, match="must be a folder of mode 0700"):
        house_at(short / ("a-long-name-" * 10)).lease()


@pytest.mark.parametrize("who", ["myself", "nobody"])
def test_a_private_home_keeps_its_modes(house_at, short, who):
    uid = None
    python = sys.executable
    if who == "nobody":
        if not ROOT:
            pytest.skip("only root can become another user")
        uid, python = NOBODY, python_for(NOBODY)
    home, share = short / "home", short / "home" / "share"
    share.mkdir(parents=True)
    home.chmod(0o700)
    share.chmod(0o751)
    short.chmod(0o711)
    if uid is not None:
        for folder in (home, share):
            os.chown(folder, uid, uid)
    house = house_at(share / "messenger")

    user = house.user(python=python, uid=uid)
    assert user.url()
    user.dies()
    eventually(house.is_quiet)
    assert house.user(python=python, uid=uid).url()

    assert (mode(short), mode(home), mode(share)) == (0o711, 0o700, 0o751)
    assert mode(house.data_dir) == mode(house.data_dir / "pg") == mode(house.data_dir / "run") == 0o700
    owner = os.geteuid() if uid is None else uid
    assert {path.lstat().st_uid for path in [home, *home.rglob("*")]} == {owner}


def test_a_folder_that_was_there_keeps_its_mode(new_house):
    new_house.data_dir.mkdir()
    new_house.data_dir.chmod(0o755)

    new_house.lease()

    assert mode(new_house.data_dir) == 0o755
    assert mode(new_house.data_dir / "pg") == mode(new_house.data_dir / "run") == 0o700


def test_data_of_another_major_are_left_alone(new_house):
    (new_house.data_dir / "pg").mkdir(parents=True)
    (new_house.data_dir / "pg" / "PG_VERSION").write_text("9\n")

    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 9, found only: \d+ in "):
        new_house.lease()

    assert [path.name for path in (new_house.data_dir / "pg").iterdir()] == ["PG_VERSION"]
    assert new_house.is_quiet()


def test_a_folder_without_postgresql_is_named(new_house, short):
    with pytest.raises(EmbeddedError, match=r"No working postgres and initdb in .*\nCorrect POSTGRES_BIN"):
        new_house.lease(bin_dir=short)


def test_a_half_made_cluster_is_no_cluster(new_house):
    abandoned = new_house.data_dir / "pg.new-abandoned"
    abandoned.mkdir(parents=True)
    (abandoned / "PG_VERSION").write_text("18\n")

    assert answers(new_house.lease().url)

    assert not abandoned.exists()


def test_broken_data_are_told_with_the_reason_and_where_to_read_on(house):
    house.lease().release()
    eventually(house.is_quiet)
    (house.data_dir / "pg" / "global" / "pg_control").unlink()

    with pytest.raises(EmbeddedError, match=r"PostgreSQL does not start: .+\nSee .*/logs/postgresql\.log"):
        house.lease()

    assert house.is_quiet()


def test_binaries_that_vanish_under_a_running_server_are_missed_in_words(new_house, short):
    vanishing = binaries_with_counted_initdb(short)
    lease = new_house.lease(bin_dir=vanishing)
    shutil.rmtree(vanishing)

    kill(*new_house.postmasters())
    eventually(lambda: not new_house.keepers())

    with pytest.raises(EmbeddedError, match="No working postgres"):
        lease.watch()

    # Found elsewhere, the same major goes on with the same data.
    assert answers(new_house.lease().url)


@pytest.mark.skipif(not ROOT or sys.platform != "linux", reason="only root on Linux needs a user namespace")
def test_root_without_namespaces_is_told_what_to_do(new_house, short, monkeypatch):
    (short / "unshare").write_text("#!/bin/sh\necho 'unshare: Operation not permitted' >&2; exit 1\n")
    (short / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{short}:{os.environ['PATH']}")

    with pytest.raises(EmbeddedError, match=r"Run as a normal user, or set DATABASE_URL"):
        new_house.lease()


def test_the_log_is_cut_before_it_fills_the_disk(house):
    house.lease()
    log = house.data_dir / keeper.LOG

    os.truncate(log, keeper.LOG_LIMIT + 1)

    eventually(lambda: log.stat().st_size < keeper.LOG_LIMIT)
    assert log.with_name(log.name + ".1").stat().st_size > keeper.LOG_LIMIT


def test_the_environment_of_another_server_does_not_matter(new_house, monkeypatch):
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nowhere")

    assert answers(new_house.lease().url)


DEBIAN = sorted(binaries.DEBIAN.glob("*/bin/postgres"))


@pytest.mark.skipif(not DEBIAN, reason="no PostgreSQL from Debian on this machine")
def test_debians_own_postgresql_serves_as_well_and_keeps_its_data(new_house):
    lease = new_house.lease(bin_dir=DEBIAN[0].parent)
    write_a_row(lease.url)
    kill(*new_house.postmasters())
    eventually(lambda: answers(lease.url), within=5)
    lease.release()
    eventually(new_house.is_quiet)

    # Nothing is said about binaries now: the data decide.
    again = new_house.lease()

    assert rows(again.url) == 1
    assert str(ask(again.url, "SHOW server_version")).startswith(DEBIAN[0].parts[-3])


def ask(url: str, question: str) -> object:
    async def once() -> object:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(once())


def answers(url: str) -> bool:
    try:
        return ask(url, "SELECT 1") == 1
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def write_a_row(url: str, checkpoint: bool = True) -> None:
    ask(url, "CREATE TABLE kept (id int)")
    ask(url, "INSERT INTO kept VALUES (1)")
    if checkpoint:  # a server that is not durable promises nothing else when it is killed
        ask(url, "CHECKPOINT")


def rows(url: str) -> object:
    return ask(url, "SELECT count(*) FROM kept")


def assert_still_kept(house: Cluster, url: str) -> None:
    """A killed server comes back: so its keeper looked, and found a user."""
    [postmaster] = house.postmasters()
    kill(postmaster)
    eventually(lambda: answers(url) and house.postmasters() != [postmaster], within=5)
    assert rows(url) == 1


def eventually(claim: Callable[[], object], within: float = 10.0) -> None:
    until = time.monotonic() + within
    while not claim():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.1)


def processes(*words: str) -> list[int]:
    """A child that bears the name of its parent has only now been forked, and soon has one of its own."""
    listing = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,state=,args="], capture_output=True, text=True, check=True
    )
    rows = (line.split(None, 3) for line in listing.stdout.splitlines())
    found = {
        int(pid): int(parent)
        for pid, parent, state, *args in rows
        if state[0] != "Z" and args and all(word in args[0] for word in words)
    }
    return [pid for pid, parent in found.items() if parent not in found]


def children(pid: int) -> list[int]:
    listing = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in listing.stdout.split()]


def kill(*pids: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def user_environment() -> dict[str, str]:
    packages = [path for path in sys.path if path.endswith("site-packages")]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), *packages])}


def drop_to(uid: int | None) -> dict[str, object]:
    return {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}


def python_for(uid: int) -> str:
    """This interpreter, or the system's of the same version: ours may live in a home closed to others."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            subprocess.run(
                [python, "-c", "import asyncpg, messenger.db.private.cluster"],
                env=user_environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
                cwd="/",
                capture_output=True,
                check=True,
                **drop_to(uid),  # type: ignore[call-overload]
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip(f"no {version} with the project's packages is readable for uid {uid}")


def place_for_clusters() -> str:
    """Memory where there is enough of it: thirty clusters are a gigabyte for a disk. Kills look the same."""
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK):
        return "/tmp"
    seen = os.statvfs(memory)
    roomy = seen.f_bavail * seen.f_frsize > 2**30
    return memory if roomy and not seen.f_flag & os.ST_NOEXEC else "/tmp"


def binaries_with_counted_initdb(short: Path) -> Path:
    real = binaries.choose(short / "none").folder
    folder = short / "bin"
    folder.mkdir()
    for program in real.iterdir():
        if program.name != "initdb":
            (folder / program.name).symlink_to(program)
    wrapper = folder / "initdb"
    wrapper.write_text(f'#!/bin/sh\necho run >> "{short}/initdb-runs"\nexec "{real}/initdb" "$@"\n')
    wrapper.chmod(0o755)
    return folder
