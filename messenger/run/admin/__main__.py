"""messenger-admin: reads the command, imports only what it needs, and prints in short sentences what goes wrong.

Exit codes are the same for all programs: 0 fine, 1 other (or damage found), 2 usage, 3 database, 4 schema.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from messenger.run.cli import NO_DATABASE, OTHER, USAGE, print_error, run_cli

EXAMPLES = """\
examples:
  messenger-admin seed                   demo people test1@test.com … test3@test.com, password test, and their chats
  messenger-admin fsck --fix             recount everything beside a running server, and repair what can be derived
"""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{message[:1].upper()}{message[1:]}.", file=sys.stderr)
        if "--password" in message:
            print(
                "Other processes see what is on a command line: type it, pipe it, or use --password-file.",
                file=sys.stderr,
            )
        print(f"See: {self.prog} --help", file=sys.stderr)
        sys.exit(USAGE)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)  # --help ends here
    return run_cli(lambda: _act(options))


def _act(options: argparse.Namespace) -> int:
    from messenger.errors import MessengerError, Unavailable  # noqa: PLC0415

    try:
        code: int = import_module(f"messenger.run.admin.{options.command.replace('-', '_')}").run(options)
    except MessengerError as error:
        away = isinstance(error, Unavailable)
        flaws = [f"{flaw.pointer.strip('/')}: {flaw.detail}." for flaw in error.flaws[:2]]
        remedy = ["See: messenger-admin doctor"] if away else []
        return print_error(NO_DATABASE if away else OTHER, error.detail, *flaws, *remedy)
    except KeyboardInterrupt:
        return print_error(OTHER, "Interrupted.")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="messenger-admin",
        description=f"{EXAMPLES}\nWhat an operator does by hand, beside a server that may run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Settings: environment and .env. Exit codes: 0 fine, 1 other or damage, 2 usage, 3 database, 4 schema.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)

    def command(name: str, does: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=does, description=f"{does[:1].upper()}{does[1:]}.", allow_abbrev=False)

    command("seed", "make demo people, chats and messages; what is there already stays as it is")
    _person(command("create-user", "register somebody; the password is asked for, or read from a pipe"))
    _link(command("link", "print a link that signs a person in, once"))
    _sessions(command("sessions", "list or end the sessions of a person"))
    fsck = command("fsck", "recount everything and name what is damaged")
    fsck.add_argument("--fix", action="store_true", help="repair what can be derived from the rest")
    fsck.add_argument("--json", action="store_true", help="for programs")
    reindex = command("reindex", "make the search index anew; goes on where an interrupted run stopped")
    reindex.add_argument("--anew", action="store_true", help="from the beginning, whatever an earlier run did")
    epoch = command("new-epoch", "begin a new epoch of the log, after a backup was put back by hand")
    epoch.add_argument("--after", type=int, metavar="N", help="the last position that clients may keep; else the head")
    epoch.add_argument("--yes", action="store_true", help="do not ask")
    command("backup", "save everything in one file, beside running servers").add_argument(
        "file", metavar="FILE", help="a file that is not there yet; - is the output"
    )
    command("restore", "fill an empty database from a backup").add_argument(
        "file", type=Path, metavar="FILE", help="what backup has made"
    )
    _move(command("move", "move everything into another, empty database; goes on where an interrupted run stopped"))
    doctor = command("doctor", "look at everything around the server")
    doctor.add_argument("--url", help="the address people use: what is in between is looked at as well")
    doctor.add_argument("--session-file", type=Path, metavar="FILE", help="a session_id, to try sockets and streams")
    doctor.add_argument("--json", action="store_true", help="for programs")
    return parser


def _person(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the name to sign in with")
    parser.add_argument("--email")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="read the password from this file")


def _link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("person", metavar="NAME", help="name, e-mail or id")
    parser.add_argument("--minutes", type=int, default=15, metavar="N", help="how long it is good; else 15")
    parser.add_argument("--url", help="the page's address as people reach it; else that of a server on this machine")


def _move(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", metavar="URL", help="the new database: postgresql://user@host/name, without a password")
    where.add_argument("--to-file", type=Path, metavar="FILE", help="a file with that address, password and all")
    where.add_argument("--undo", action="store_true", help="serve from here again, whatever has been copied")
    parser.add_argument("--yes", action="store_true", help="undo without asking")


def _sessions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="list|revoke", required=True)
    listing = actions.add_parser("list", help="where somebody is signed in", allow_abbrev=False)
    listing.add_argument("person", help="name, e-mail or id")
    listing.add_argument("--json", action="store_true", help="for programs")
    revoking = actions.add_parser("revoke", help="end sessions; their sockets close", allow_abbrev=False)
    revoking.add_argument("person", help="name, e-mail or id")
    which = revoking.add_mutually_exclusive_group(required=True)
    which.add_argument("--session", type=int, action="append", metavar="ID", help="this one (as listed); repeatable")
    which.add_argument("--all", action="store_true", help="all of them")


if __name__ == "__main__":
    main()
