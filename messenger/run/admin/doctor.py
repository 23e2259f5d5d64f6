"""Checks everything around the server: one line for each check, with a remedy where something is wrong.

Nothing is changed. Checks that need the database are left out when there is none.
"""

import argparse
import asyncio
import json
import os
import re
import resource
import shutil
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import asyncpg

from messenger.apps.health import helpers
from messenger.db.private.binaries import EmbeddedError
from messenger.run.admin import context
from messenger.run.admin.doctor_database import ask_database
from messenger.run.admin.doctor_proxy import ask_proxy
from messenger.run.admin.finding import PATIENCE, Finding, reached
from messenger.run.checks import check_database, check_settings
from messenger.run.cli import USAGE, Refusal
from messenger.settings import Config, SettingError

FILES = 4096  # every socket is an open file
FREE_BYTES, FREE_SHARE = 1 << 30, 0.05

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


def run(options: argparse.Namespace) -> int:
    findings = []
    for finding in examine(options.url, _session(options)):
        findings.append(finding)
        if not options.json:
            print(finding, flush=True)
    if options.json:
        print(json.dumps({"healthy": all(one.ok for one in findings), "checks": [asdict(one) for one in findings]}))
    return 0 if all(one.ok for one in findings) else 1


def _session(options: argparse.Namespace) -> str:
    if options.session_file is None:
        return ""
    if options.url is None:
        raise Refusal(USAGE, "--session-file is for what --url leads to, which is not given.")
    try:
        session: str = options.session_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(USAGE, f"--session-file={options.session_file} cannot be read: {error}.") from None
    if not re.fullmatch("[0-9a-f]{32}", session):
        raise Refusal(
            USAGE, f"--session-file={options.session_file} holds no session_id, which is 32 digits and a to f."
        )
    return session


def examine(url: str | None, session: str) -> Iterator[Finding]:
    try:
        config = context.read_settings()
        _check_settings(config)
    except SettingError as error:
        yield Finding("settings", False, str(error), "See all: messenger-api --print-config")
        return
    except Refusal as refusal:
        yield Finding("settings", False, refusal.sentences[0], "See all: messenger-api --print-config")
        return
    yield _settings(config)
    yield _keys(config)
    yield _files()
    yield _workers(config)
    yield from _disk(config)
    try:
        with context.database_url(config) as dsn:
            version, _ = check_database(config, dsn)
            yield Finding("database", True, f"PostgreSQL {version}")
            yield from asyncio.run(_all(ask_database(config, dsn)))
    except EmbeddedError as error:
        yield Finding("database", False, *str(error).split("\n", 1))
    except Refusal as refusal:
        yield Finding("database", False, refusal.sentences[0], " ".join(refusal.sentences[1:2]))
    except AWAY as error:
        yield Finding("database", False, f"it went away meanwhile: {error or type(error).__name__}", "Look again")
    if config.redis_url:
        yield asyncio.run(_redis(str(config.redis_url)))
    if config.rmq_url:
        from messenger.run.admin.doctor_queues import ask_queues  # noqa: PLC0415  (a driver that few installations need)

        yield asyncio.run(_rabbitmq(config.rmq_url.each))
        yield from asyncio.run(_all(ask_queues(config.rmq_url.each)))
    if url:
        yield from asyncio.run(_all(ask_proxy(url, config.auth, session)))


async def _all(findings: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in findings]


def _check_settings(config: Config) -> None:
    """As at a start, but a missing key is not created."""
    if config.auth.secret_key or (config.data_dir / "secrets").exists():
        check_settings(config)


def _settings(config: Config) -> Finding:
    if config.warnings:
        return Finding("settings", False, config.warnings[0], "Correct or remove it")
    given = len(config.sources)
    return Finding("settings", True, f"MODE={config.mode.value}, {given} given, the rest defaults")


def _keys(config: Config) -> Finding:
    path = config.data_dir / "secrets"
    if config.auth.secret_key:
        source = config.sources["SECRET_KEY"]
        file = source.removeprefix("file ")
        return Finding("keys", True, f"SECRET_KEY ({source})") if file == source else _mode_of(Path(file))
    if not path.exists():
        return Finding("keys", True, f"{path} is made at the first start")
    return _mode_of(path)


def _mode_of(path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding("keys", False, f"{path} is open to others ({mode:04o})", f"chmod 600 {path}")
    return Finding("keys", True, f"{path} ({mode:04o})")


def _files() -> Finding:
    """A start raises the soft limit up to the hard one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < FILES:
        return Finding("open files", False, f"at most {hard}", f"Raise the hard limit to {FILES} or more (LimitNOFILE)")
    return Finding("open files", True, "no limit" if hard == resource.RLIM_INFINITY else f"at most {hard}")


def _workers(config: Config) -> Finding:
    """More than cores are left for them only add work; a private PostgreSQL takes one (decision 010)."""
    workers, cores = config.server.workers_num, _cores()
    seen = f"{workers} on {cores} core{'s' * (cores > 1)}"
    if workers == 1 or workers + config.database.is_private <= cores:
        return Finding("workers", True, seen)
    beside = ", and PostgreSQL needs one too" if config.database.is_private else ""
    return Finding("workers", False, f"{seen}{beside}", "Lower WORKERS_NUM: more cost CPU here and bring nothing")


def _cores() -> int:
    """Those that this process may use; macOS makes no such choice."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _disk(config: Config) -> Iterator[Finding]:
    """Only this machine's disks: the database may be on another one."""
    for name, folder in (("disk of DATA_DIR", config.data_dir), ("disk of the logs", config.log_dir)):
        there = next(one for one in (folder, *folder.parents) if one.exists())
        usage = shutil.disk_usage(there)
        seen = f"{usage.free / (1 << 30):.1f} GiB of {usage.total / (1 << 30):.1f} free at {folder}"
        is_full = usage.free < FREE_BYTES or usage.free < usage.total * FREE_SHARE
        yield Finding(name, not is_full, seen, "Make room: PostgreSQL stops when its disk is full" if is_full else "")


async def _redis(url: str) -> Finding:
    remedy = "Correct REDIS_URL, or unset it: PostgreSQL rings as well"
    return await reached("redis", lambda: helpers.reach_redis(url, PATIENCE), remedy)


async def _rabbitmq(urls: Sequence[str]) -> Finding:
    remedy = "Correct RMQ_URL, or unset it: the server does search tasks as well"
    return await reached("rabbitmq", lambda: helpers.reach_rabbitmq(urls, PATIENCE), remedy)
