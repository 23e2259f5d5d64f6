"""Registers a person by the usual rules. The password is no argument, as other processes would see it."""

import argparse
import getpass
import sys
from pathlib import Path

from messenger.apps.auth import service as accounts
from messenger.apps.auth.schemas import Registration
from messenger.run.admin import context
from messenger.run.cli import USAGE, Refusal
from messenger.settings import Config


def run(options: argparse.Namespace) -> int:
    password = _read(options.password_file)

    async def work(config: Config, dsn: str) -> int:
        wanted = Registration(password=password, user_name=options.name, email=options.email)
        async with context.open_database(dsn) as db, context.open_auth(config, db) as auth:
            registered = await accounts.register(auth, wanted, context.BY_HAND)
        print(f"Created {registered.name} (user {registered.user_id}).")
        return 0

    return context.run_with_database(work)


def _read(file: Path | None) -> str:
    if file is not None:
        try:
            return _first_line(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(USAGE, f"--password-file={file} cannot be read: {error}.") from None
    if not sys.stdin.isatty():
        return _first_line(sys.stdin.read())
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise Refusal(USAGE, "The two passwords differ; nothing was created.")
    return password


def _first_line(text: str) -> str:
    password = text.split("\n", 1)[0].rstrip("\r")
    if not password:
        raise Refusal(
            USAGE,
            "There is no password to read.",
            "Run it in a terminal, pipe the password in, or use --password-file FILE.",
        )
    return password
