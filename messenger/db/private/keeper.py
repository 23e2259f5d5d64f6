"""Keeps one private PostgreSQL running exactly as long as somebody uses it.

A process of its own, run by file path and on the standard library alone, so that it is up in a moment.
A user is a process that holds a shared lock on `run/users.lock`. The kernel drops that lock with its last holder,
however it dies, so no user has to sign off. cluster.py chooses binaries and makes the cluster.
"""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from os.path import join

CLUSTER = "pg"
USERS_LOCK = "run/users.lock"
KEEPER_LOCK = "run/keeper.lock"
FAILURE = "run/failure"
LOG = "logs/postgresql.log"
PORT = 5432  # only a part of the socket's name
SOCKET = f".s.PGSQL.{PORT}"

POLL = 0.1
FAST_SHUTDOWN = 10.0
QUICK_TRIES = 30  # some four seconds of them
MIB = 1024 * 1024
LOG_LIMIT = 10 * MIB
BUFFERS = 128, 1024  # MiB: what PostgreSQL itself would take, and the most
SHARE = 16  # of the memory: it is a laptop or a small server, with other programs
CONTAINER = "/sys/fs/cgroup/memory.max"

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "cluster_name": "messenger",
    "max_connections": "200",
    "wal_compression": "on",
    "logging_collector": "off",
    "log_checkpoints": "off",
    # The log must not quote what people wrote: no statements, no DETAIL with the values of a row.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Hopeless(Exception):
    """Trying again cannot help."""


class Server:
    """A postmaster: our child, or one that outlived the keeper before us."""

    def __init__(self, pid: int, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self.pid = pid
        self.child = child

    def is_alive(self) -> bool:
        return is_postgres(self.pid) if self.child is None else self.child.poll() is None

    def stop(self) -> None:
        # SIGINT sends the clients away and makes a checkpoint; SIGQUIT leaves the rest to the next recovery.
        for way in (signal.SIGINT, signal.SIGQUIT):
            with suppress(ProcessLookupError):
                if self.is_alive():
                    os.kill(self.pid, way)
            until = time.monotonic() + FAST_SHUTDOWN
            while self.is_alive() and time.monotonic() < until:
                time.sleep(0.01)


class Keeper:
    def __init__(self, data_dir: str, bin_dir: str, socket_dir: str, durability: str) -> None:
        self.data_dir = data_dir
        self.socket = join(socket_dir, SOCKET)
        settings = SETTINGS | (FORGETFUL if durability == "forgetful" else DURABLE)
        settings["unix_socket_directories"] = socket_dir
        # Whoever copies or drops a database walks through all buffers, and tests do it a thousand times.
        settings["shared_buffers"] = f"{BUFFERS[0] if durability == 'forgetful' else buffers(memory())}MB"
        if sys.platform == "linux":
            # After a kill -9 every file is flushed before recovery begins: in one call some 0.5 s, one by one 1 to 4.
            settings["recovery_init_sync_method"] = "syncfs"
        self.postgres = join(bin_dir, "postgres")
        self.command = [*disguise(), self.postgres, "-D", join(data_dir, CLUSTER)]
        for name, value in settings.items():
            self.command += ["-c", f"{name}={value}"]
        self.server: Server | None = None
        self.failed_tries = 0
        self.log_before_start = 0

    def keep(self, users: int) -> None:
        while not try_lock(users, fcntl.LOCK_EX):
            self.tend()
            bound_log(join(self.data_dir, LOG))
            time.sleep(POLL if self.failed_tries < QUICK_TRIES else 10 * POLL)
        # Nobody uses it, and nobody can begin to: newcomers wait for the lock that is ours now.
        server = self.server or self.find_running()
        if server is not None:
            server.stop()

    def tend(self) -> None:
        if self.server is not None:
            if self.server.is_alive():
                return
            self.note_exit(self.server)
        # First: the server of the last keeper may only now have begun to answer.
        self.server = self.find_running() or self.start()

    def start(self) -> Server:
        if not os.access(self.postgres, os.X_OK):
            raise Hopeless(f"There is no {self.postgres} any more.")
        self.log_before_start = os.fstat(2).st_size
        environment = dict(os.environ)
        dead = self.noted_pid()
        if dead and not is_postgres(dead):
            # A killed postmaster may stay a zombie for seconds, or for ever under a process 1 that never
            # reaps, and after a power cut its number may be somebody else's: PostgreSQL would take it for
            # a rival. A pid of this name it takes for none; and it still checks, by shared memory, that no
            # child of the old one is left.
            environment["PG_GRANDPARENT_PID"] = str(dead)
        try:
            # A session of its own: no signal of a terminal or a process group reaches it.
            child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)
        except OSError as error:
            raise Hopeless(f"PostgreSQL cannot be run: {error.strerror} ({error.filename}).") from error
        return Server(child.pid, child)

    def find_running(self) -> Server | None:
        pid = self.noted_pid()
        if pid is None or not is_postgres(pid):
            return None
        try:
            with socket.socket(socket.AF_UNIX) as door:
                door.settimeout(1)
                door.connect(self.socket)
        except OSError:
            return None
        return Server(pid)

    def noted_pid(self) -> int | None:
        try:
            with open(join(self.data_dir, CLUSTER, "postmaster.pid")) as lines:
                return int(lines.readline())
        except (OSError, ValueError):
            return None

    def note_exit(self, server: Server) -> None:
        said = os.pread(2, LOG_LIMIT, self.log_before_start).decode(errors="replace")
        # After a server that was up, tries are quick again; errors of its clients are no reason for its end.
        was_up = "ready to accept connections" in said or server.child is None
        self.failed_tries = 0 if was_up else self.failed_tries + 1
        fatal = re.findall(r"(?:FATAL|PANIC): +(?!the database system is)(.+)", said)
        reason = fatal[-1] if fatal and not was_up else f"process {server.pid} ended"
        self.write_failure(f"PostgreSQL ended: {reason}.")
        # The remains of a killed server go away: wait. For anything else, such as a full disk, give up: a user's
        # `watch` begins anew, and a new user gets the reason instead of waiting.
        remains = "already exists" in reason or "still in use" in reason
        if self.failed_tries >= QUICK_TRIES and not remains:
            raise Hopeless(f"PostgreSQL does not start: {reason}.")

    def write_failure(self, text: str) -> None:
        tell(text)
        draft = join(self.data_dir, FAILURE + ".new")
        with suppress(OSError):
            with open(draft, "w") as failure:
                failure.write(text)
            os.replace(draft, join(self.data_dir, FAILURE))


def memory() -> int:
    """Bytes of this machine, or of the container that it is."""
    there_is = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError), open(CONTAINER) as limit:  # "max" says that there is none
        there_is = min(there_is, int(limit.read()))
    return there_is


def buffers(there_is: int) -> int:
    """MiB that PostgreSQL keeps of its tables. A search in a large archive reads thousands of scattered pages."""
    least, most = BUFFERS
    return max(least, min(there_is // SHARE // MIB, most))


def disguise() -> list[str]:
    """PostgreSQL refuses to run as root: a user namespace shows it another uid, the files stay root's."""
    if os.geteuid() == 0 and sys.platform == "linux":
        return ["unshare", "--user", "--map-user=1", "--map-group=1", "--"]
    return []


def try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_postgres(pid: int) -> bool:
    """Not a zombie, which answers `kill` until process 1 reaps it; nor a stranger with a number used again."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            name, _, state = stat.read().partition(" (")[2].rpartition(") ")
    except FileNotFoundError:
        return sys.platform != "linux"
    except OSError:
        return False
    return name == "postgres" and state[0] not in "ZX"


def bound_log(path: str) -> None:
    """Copy and truncate: PostgreSQL keeps its handle, and it only ever appends."""
    size = os.fstat(2).st_size
    if size > LOG_LIMIT:
        with suppress(OSError), open(path + ".1", "wb") as old:
            old.write(os.pread(2, size, 0))
        os.ftruncate(2, 0)


def tell(text: str) -> None:
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} [{os.getpid()}] KEEPER:  {text}\n"
    with suppress(OSError):  # a full disk must not end the keeper
        os.write(2, line.encode())


def main(data_dir: str, bin_dir: str, socket_dir: str, durability: str) -> None:
    os.umask(0o077)
    os.chdir("/")
    # A stray signal must not stop a database that others use; without users the keeper leaves by itself.
    # Handlers, not SIG_IGN: that would be inherited by PostgreSQL.
    for stray in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stray, lambda *_: None)
    lock = os.open(join(data_dir, KEEPER_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    users = os.open(join(data_dir, USERS_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    log = os.open(join(data_dir, LOG), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    if not try_lock(lock, fcntl.LOCK_EX):
        return
    # The starter waits for this process: when it ends the lock is taken, and the keeper is nobody's child,
    # so that no user has a zombie to reap or takes the keeper for a worker of its own.
    if os.fork():
        os._exit(0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    keeper = Keeper(data_dir, bin_dir, socket_dir, durability)
    try:
        keeper.keep(users)
    except Hopeless as reason:
        keeper.write_failure(str(reason))
    # In this order: a process that gets `users` next must find the keeper's place free.
    os.close(lock)
    os.close(users)
    os._exit(0)  # at once: a process that finds the place free must find no keeper either


if __name__ == "__main__":
    main(*sys.argv[1:])
