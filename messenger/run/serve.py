"""One run of the server, from the checks to the last line; what it took it gives back, in the reverse order."""

import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

from messenger.db.private.cluster import PrivatePostgres, has_users
from messenger.db.private.keeper import CLUSTER
from messenger.run.banner import RunFacts, address, banner, farewell
from messenger.run.checks import check_database, check_redis, check_schema, check_settings, has_accounts, take_port
from messenger.run.cli import OTHER, Refusal
from messenger.run.systemd import READY, Systemd
from messenger.settings import Config

T = TypeVar("T")

log = logging.getLogger(__name__)

FILES_WANTED = 65536  # every socket is an open file, and most systems begin with 1,024
LET_GO_SECONDS = 2.0  # until the last of our processes is gone
STOP_SECONDS = 20.0  # until even a PostgreSQL that hangs is stopped
BROUGHT_LISTENERS = ("LISTEN_FDS", "GUNICORN_FD")  # by systemd, or by the master that this one replaces


def serve(config: Config, options: dict[str, Any]) -> int:
    """`options`: gunicorn's own, from the command line. The exit code."""
    began = time.monotonic()
    systemd = Systemd()
    master = os.getpid()
    terminal = sys.stdout.isatty()
    # Reloaded workers would inherit what the master has imported, so then it does not import what may change.
    ask = _ask_apart if options.get("reload") else _ask_here
    set_limits()
    with ExitStack() as kept:
        _share_metrics(config, kept)
        apps = ask(check_settings, config)
        ask(check_redis, config)
        listener = None
        if not options.get("bind") and not any(name in os.environ for name in BROUGHT_LISTENERS):
            listener = kept.enter_context(take_port(config.server.host, config.server.port, config.server.backlog))
        private = private_database(config, kept)
        dsn = private.url if private else config.database.dsn()
        version, unsafe = check_database(config, dsn)
        schema = ask(check_schema, config, str(config.database.direct_url) or dsn)
        seeded = _seed() if config.seed_demo else ""
        facts = RunFacts(tuple(apps), version, schema, has_accounts=not terminal or has_accounts(dsn))

        from messenger.run.master import Service  # noqa: PLC0415  (gunicorn is of no use to a refusal)

        def say_ready() -> None:
            seconds = time.monotonic() - began
            systemd.tell(READY)
            if terminal:
                print(banner(config, facts, seconds), flush=True)
                if seeded:
                    print(f"  Demo people  test1@test.com … test3@test.com. {seeded}\n", flush=True)
            log.info("ready", extra={"keys": {"url": address(config), "seconds": round(seconds, 2)}})

        service = Service(
            config,
            dsn,
            listener=listener.detach() if listener else None,  # gunicorn closes it
            options=options,
            terminal=terminal,
            private=private,
            on_ready=say_ready,
            systemd=systemd,
        )
        for warning in (*config.warnings, *forgetful(unsafe)):
            log.warning("%s", warning)
        code = _run(service, master)
    if code:
        print(f"The server stopped by itself. Why: {config.log_dir / 'error.log'}", file=sys.stderr)
    elif terminal and service.is_ready:
        # Only here is the lease given back, so only now can the database be gone.
        fate = fate_of_database(config) if private else "your database untouched"
        print(farewell(service.requests_cut, fate, time.monotonic() - service.stop_began))
    return code


def _run(service: Any, master: int) -> int:
    try:
        service.run()
    except SystemExit as end:
        if os.getpid() != master:
            raise  # a worker on its way out, up through the stack of the master it was forked from
        return 0 if not end.code else OTHER
    return 0


def _ask_here(question: Callable[..., T], *arguments: Any) -> T:
    return question(*arguments)


def _ask_apart(question: Callable[..., T], *arguments: Any) -> T:
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415
    from multiprocessing import get_context  # noqa: PLC0415

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(question, *arguments).result()


def set_limits() -> None:
    os.umask(0o077)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold keys and messages
    with suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _share_metrics(config: Config, kept: ExitStack) -> None:
    """prometheus_client looks for the folder when it is imported, and finds the files of this run only."""
    if "metrics" in config.apps:
        folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="messenger-metrics-")
        kept.callback(_in_this_process_only(os.getpid(), shutil.rmtree), folder, ignore_errors=True)


def private_database(config: Config, kept: ExitStack) -> PrivatePostgres | None:
    if not config.database.is_private:
        return None
    return kept.enter_context(PrivatePostgres.lease(config.data_dir, bin_dir=config.database.bin_dir))


def _seed() -> str:
    """What was made. A process of its own: threads that hash passwords must not be there when workers are forked."""
    done = subprocess.run(
        [sys.executable, "-m", "messenger.run.admin", "seed"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = done.stderr.splitlines() or ["it was killed."]
        raise Refusal(
            done.returncode if done.returncode > 0 else OTHER,
            f"SEED_DEMO: the demo people could not be made: {why[-1] if 'Traceback' in why[0] else why[0]}",
            "Unset SEED_DEMO, or see: messenger-admin doctor",
        )
    return done.stdout.splitlines()[0]


def _in_this_process_only(pid: int, action: Callable[..., None]) -> Callable[..., None]:
    """Forked workers leave through the same stack, and must not clean up behind the master's back."""

    def act(*arguments: Any, **options: Any) -> None:
        if os.getpid() == pid:
            action(*arguments, **options)

    return act


def forgetful(unsafe: list[str]) -> list[str]:
    if not unsafe:
        return []
    settings = ", ".join(f"{name}=off" for name in unsafe)
    return [f"PostgreSQL runs with {settings}: a power cut can lose messages that were acknowledged"]


def fate_of_database(config: Config) -> str:
    """It stops with its last user, within some seconds."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < STOP_SECONDS:
        has_others = waited > LET_GO_SECONDS and has_users(config.data_dir)
        if not (config.data_dir / CLUSTER / "postmaster.pid").exists():
            return "database stopped"
        if has_others:
            return "database left to its other users"
        time.sleep(0.01)
    return "database still stopping"
