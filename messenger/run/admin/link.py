"""Prints a link that signs a person in once: for a demo, and for who is locked out. The output is the link alone."""

import argparse
import sys
from urllib.parse import urlsplit

from messenger.apps.auth import service as accounts
from messenger.run import banner
from messenger.run.admin import context, people
from messenger.run.cli import USAGE, Refusal
from messenger.settings import Config

LONGEST = 24 * 60  # minutes


def run(options: argparse.Namespace) -> int:
    if not 1 <= options.minutes <= LONGEST:
        raise Refusal(USAGE, f"--minutes={options.minutes} is not within 1 to {LONGEST}.")
    page = _checked(options.url) if options.url is not None else None

    async def work(config: Config, dsn: str) -> int:
        async with context.open_database(dsn) as db, context.open_auth(config, db) as auth:
            person = await people.get(db, options.person)
            token = await accounts.make_link(auth, person.user_id, options.minutes * 60, context.BY_HAND)
        print(f"{page or banner.address(config)}/#link={token}")
        print(
            f"It signs in {person.name} (user {person.user_id}), once, within {options.minutes} min.", file=sys.stderr
        )
        return 0

    return context.run_with_database(work)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise Refusal(USAGE, f"--url={url} is not the address of a page, such as https://chat.example.org/")
    return url.rstrip("/")
