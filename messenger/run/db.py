"""messenger-db: the whole command line of Alembic on the database the settings name, from any folder."""

import os
import sys
from argparse import Namespace
from pathlib import Path

import asyncpg
from alembic.config import CommandLine
from alembic.util import CommandError

from messenger.db.private.cluster import PrivatePostgres
from messenger.db.schema import UnreleasedSchema, alembic_config
from messenger.run.cli import NO_DATABASE, SCHEMA, USAGE, Refusal, print_error, run_cli
from messenger.settings import read


def main(argv: list[str] | None = None) -> None:
    parser = CommandLine(prog="messenger-db").parser
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    if not hasattr(options, "cmd"):
        parser.print_usage(sys.stderr)
        sys.exit(print_error(USAGE, "Name a command, for example: messenger-db upgrade head"))
    sys.exit(run_cli(lambda: _run(options)))


def _run(options: Namespace) -> int:
    config = read(os.environ, dotenv=Path(".env"))
    if config.database.is_private:
        with PrivatePostgres.lease(config.data_dir, bin_dir=config.database.bin_dir) as private:
            return _run_on(private.url, options)
    return _run_on(str(config.database.direct_url) or config.database.dsn(), options)


def _run_on(dsn: str, options: Namespace) -> int:
    alembic = alembic_config(dsn)
    alembic.cmd_opts = options
    command, positional, keywords = options.cmd
    # With other people's branches installed there are several heads, and `upgrade head` means all of them.
    arguments = ["heads" if value == "head" else value for value in (getattr(options, name) for name in positional)]
    try:
        command(alembic, *arguments, **{name: getattr(options, name, None) for name in keywords})
    except UnreleasedSchema as error:
        raise Refusal(SCHEMA, str(error)) from None
    except CommandError as error:
        raise Refusal(SCHEMA, str(error), "See: messenger-db history, messenger-db current") from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sentence = f"The database cannot be used: {error}"
        raise Refusal(NO_DATABASE, sentence, "Check DATABASE_URL or POSTGRES_*.") from None
    return 0


if __name__ == "__main__":
    main()
