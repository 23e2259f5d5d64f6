"""messenger-db: the whole command line of Alembic on the database the settings name, from any folder."""

import os
import sys
from argparse import Namespace
from pathlib import Path

import asyncpg
from alembic.config import CommandLine
from alembic.util import CommandError

from messenger.db.private.cluster import EmbeddedError, PrivatePostgres
from messenger.db.schema import UnreleasedSchema, alembic_config
from messenger.settings import SettingError, read

USAGE, NO_DATABASE, SCHEMA = 2, 3, 4


def main(argv: list[str] | None = None) -> None:
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    line = CommandLine(prog="messenger-db")
    options = line.parser.parse_args(argv)
    if not hasattr(options, "cmd"):
        line.parser.print_usage(sys.stderr)
        return _refuse(USAGE, "Name a command, for example: messenger-db upgrade head")
    try:
        config = read(os.environ, dotenv=Path(".env"))
    except SettingError as error:
        return _refuse(USAGE, str(error), "See all of them: messenger-api --print-config")
    if not config.database.is_private:
        return _run(line, options, str(config.database.direct_url) or config.database.dsn())
    try:
        with PrivatePostgres.lease(config.data_dir, bin_dir=config.database.bin_dir) as private:
            return _run(line, options, private.url)
    except EmbeddedError as error:
        return _refuse(NO_DATABASE, str(error))


def _run(line: CommandLine, options: Namespace, dsn: str) -> int:
    alembic = alembic_config(dsn)
    alembic.cmd_opts = options
    command, positional, keywords = options.cmd
    # With other people's branches installed there are several heads, and `upgrade head` means all of them.
    arguments = ["heads" if value == "head" else value for value in (getattr(options, name) for name in positional)]
    try:
        command(alembic, *arguments, **{name: getattr(options, name, None) for name in keywords})
    except UnreleasedSchema as error:
        return _refuse(SCHEMA, str(error))
    except CommandError as error:
        return _refuse(SCHEMA, str(error), "See: messenger-db history, messenger-db current")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return _refuse(NO_DATABASE, f"The database cannot be used: {error}", "Check DATABASE_URL or POSTGRES_*.")
    return 0


def _refuse(code: int, *sentences: str) -> int:
    print(*sentences, sep="\n", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
