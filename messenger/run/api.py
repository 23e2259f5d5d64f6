"""messenger-api: reads the settings, makes sure of port, database and schema, and runs gunicorn.

Whatever is wrong is said in at most three lines with an exit code: 2 usage, 3 database, 4 schema, 5 port, 1 other.
Imports are late, so that --help is quick and --dev leaves alone what it reloads.
"""

import argparse
import difflib
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import messenger
from messenger.run.cli import USAGE, Refusal, run_cli
from messenger.settings import Mode, read

if TYPE_CHECKING:
    from messenger.settings import Config
    from messenger.subapp import Placed

EXAMPLES = """\
examples:
  messenger-api                          serve on port 8080, with a PostgreSQL of its own when no DATABASE_URL is set
  messenger-api --port 8081 --workers 2  another port, two worker processes (gunicorn's own options pass on to it)
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    options, rest = _parser().parse_known_args(argv)  # --help ends here
    return run_cli(lambda: _act(options, rest))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="messenger-api",
        usage="messenger-api [options] [gunicorn options]",
        description=f"{EXAMPLES}\nThe messenger server: REST, WebSocket and event streams over one ordered log.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Settings: environment and .env. Exit codes: 0 fine, 2 usage, 3 database, 4 schema, 5 port, 1 other.",
        allow_abbrev=False,
    )
    parser.add_argument("--port", metavar="N", help="port to listen on (PORT)")
    parser.add_argument("--dev", action="store_true", help="MODE=dev: loopback only, reload when a file changes")
    parser.add_argument("--apps", action="store_true", help="print the enabled sub-apps in their order")
    parser.add_argument("--print-config", action="store_true", help="print every setting, where it comes from and why")
    parser.add_argument("--version", action="store_true", help="print the versions and leave")
    return parser


def _act(options: argparse.Namespace, rest: Sequence[str]) -> int:
    if options.version:
        print(_versions())
        return 0
    config = _configure(options)
    if options.print_config:
        _print_config(config)
        return 0
    if options.apps:
        _print_apps(config)
        return 0
    from messenger.run.serve import serve  # noqa: PLC0415

    return serve(config, _gunicorn_options(rest) | ({"reload": True} if options.dev else {}))


def _configure(options: argparse.Namespace) -> "Config":

    flags = {} if options.port is None else {"PORT": options.port}
    config = read(os.environ, dotenv=Path(".env"), flags=flags)
    if not options.dev:
        return config
    if config.mode is Mode.PRODUCTION:
        raise Refusal(USAGE, "--dev and MODE=production exclude each other.", "Unset MODE, or leave out --dev.")
    return read(os.environ, dotenv=Path(".env"), flags={**flags, "MODE": "dev"})


def _gunicorn_options(arguments: Sequence[str]) -> dict[str, Any]:
    """What gunicorn understands of the rest; by the name of its setting."""
    if not arguments:
        return {}
    from gunicorn.config import Config as GunicornConfig  # noqa: PLC0415

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise Refusal(USAGE, f"{message[:1].upper()}{message[1:]}.", *_look_alike(arguments, self))

    parser = GunicornConfig(prog="messenger-api").parser()
    parser.__class__ = Parser
    parser.allow_abbrev = False
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    words = given.pop("args", [])
    if words:
        raise Refusal(
            USAGE, f"{words[0]!r} is no option; what to serve is decided by APPS.", "See: messenger-api --help"
        )
    if given.get("daemon"):
        raise Refusal(USAGE, "--daemon is left to systemd or a container.", "Or run: nohup messenger-api &")
    return given


def _look_alike(arguments: Sequence[str], gunicorn: argparse.ArgumentParser) -> Iterator[str]:
    known = [name for parser in (_parser(), gunicorn) for name in parser._option_string_actions]
    for argument in arguments:
        name = argument.partition("=")[0]
        close = difflib.get_close_matches(name, known, n=1) if name.startswith("-") and name not in known else []
        if close:
            yield f"Did you mean {close[0]}? See: messenger-api --help"
            return
    yield "See: messenger-api --help"


def _print_config(config: "Config") -> None:
    rows = list(config.lines())
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, value, source, why in rows:
        print(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source:<{widths[2]}}  {why}")
    for warning in config.warnings:
        print(f"Warning: {warning}", file=sys.stderr)


def _print_apps(config: "Config") -> None:
    from messenger.run.checks import arranged  # noqa: PLC0415

    placed = arranged(config)
    name, origin = (
        max(map(len, column)) for column in zip(*((one.app.name, one.origin) for one in placed), strict=True)
    )
    for number, one in enumerate(placed, 1):
        requires = ", ".join(one.app.requires) or "-"
        commands = ", ".join(one.app.commands) or "-"
        print(f"{number:>2}  {one.app.name:<{name}}  {one.origin:<{origin}}  requires {requires}; commands {commands}")
        for route in _routes(one):
            print(f"      {route}")


def _routes(placed: "Placed") -> Iterator[str]:
    for route in placed.app.routes:
        method = getattr(route, "method", "GET")
        yield f"{method:<6} {getattr(route, 'path', None) or getattr(route, 'prefix', route)}"


def _versions() -> str:
    import aiohttp  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    from messenger.db.schema import alembic_config  # noqa: PLC0415

    heads = ", ".join(ScriptDirectory.from_config(alembic_config("")).get_heads()) or "none"
    python = platform.python_version()
    return f"messenger {messenger.__version__} · Python {python} · aiohttp {aiohttp.__version__} · schema {heads}"
