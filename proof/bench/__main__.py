"""The load, its baselines and peers, and what they say together.

python -m proof.bench                        all scenarios, three rounds
python -m proof.bench --peers                beside socket.io and FastAPI, which are installed for it
python -m proof.bench S1 S5 --rounds 1 --seconds 2   some of them, quickly
python -m proof.bench soak --minutes 10      half load for a long time
python -m proof.bench idle --sockets 20000   many sockets that say nothing
python -m proof.bench search                 a million messages, searched
python -m proof.bench page                   the chat page in a browser
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from proof.bench.baselines.floor import NoCompiler
from proof.bench.load.plan import Part, crowd, plan, soak
from proof.bench.load.questions import search
from proof.bench.load.servers import PEOPLE, Servers
from proof.bench.load.visitors import visit
from proof.bench.peers.installed import NotInstalled
from proof.bench.report import crowds, searches, soaks, summary, tables, visits
from proof.bench.report.results import Results

SCENARIOS = ("S1", "S2", "S4", "S5")
ALONE: dict[
    str, tuple[Callable[[Servers, argparse.Namespace], Coroutine[Any, Any, dict[str, Any]]], Callable[..., str]]
] = {
    "soak": (lambda servers, options: soak(servers, options.minutes), soaks.everything),
    "search": (lambda servers, options: search(servers, options.messages), searches.everything),
    "idle": (lambda servers, options: crowd(servers, options.sockets, allowed(options.sockets)), crowds.everything),
    "page": (lambda servers, options: visit(servers), visits.everything),
}
SPARE = 200  # open files beside the sockets


def main() -> None:
    options = parser().parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    if len(options.what) == 1 and options.what[0] in ALONE:
        (name,) = options.what
        work, words = ALONE[name]
        with open_servers(options) as servers:
            found = {"about": about(options), **asyncio.run(work(servers, options))}
        said = words(found)
        (options.results / f"{name}.json").write_text(json.dumps(found, indent=1))
        (options.results / f"{name}.md").write_text(said + "\n")
    else:
        parts = chosen(options.what, peers=options.peers)
        with open_servers(options) as servers:
            results = asyncio.run(measured(options, parts, servers))
        results.write(options.results / "results.json")
        said = "\n\n".join([summary.everything(results), tables.everything(results), *tables.remarks(results)])
        (options.results / "tables.md").write_text(said + "\n")
        (options.results / "summary.svg").write_text(summary.drawn(results))
    print(said)
    print(f"\nWritten to {options.results}: the figures as JSON, these tables, a picture.")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m proof.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="*", metavar="S1", help=f"some of {' '.join(SCENARIOS)}; or one of {' '.join(ALONE)}; none: all"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="that each part is measured")
    parser.add_argument("--minutes", type=float, default=10.0, help="of a soak")
    parser.add_argument("--messages", type=int, default=1_000_000, help="that are searched")
    parser.add_argument("--sockets", type=int, default=20_000, help="that are idle")
    parser.add_argument("--peers", action="store_true", help="beside socket.io and FastAPI; installs them for it")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of people: below 1 for a quick try")
    parser.add_argument("--profile", action="store_true", help="after each part: where the server's time went (py-spy)")
    parser.add_argument("--results", type=Path, default=Path("bench-results"), metavar="FOLDER")
    return parser


def chosen(scenarios: Sequence[str], *, peers: bool = False) -> list[Part]:
    unknown = set(scenarios) - set(SCENARIOS)
    if unknown:
        raise SystemExit(
            f"There is no {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}; {', '.join(ALONE)} alone."
        )
    return [part for part in plan(peers=peers) if not scenarios or part.scenario in scenarios]


async def measured(options: argparse.Namespace, parts: Sequence[Part], servers: Servers) -> Results:
    results = Results(about(options))
    for number in range(1, options.rounds + 1):
        for part in parts:
            print(f"round {number} of {options.rounds}: {part.key()}", file=sys.stderr, flush=True)
            try:
                found = await part.run(servers)
            except (NoCompiler, NotInstalled) as reason:
                fault: dict[str, Any] = {"note": str(reason)}
                found = {**fault, **dict.fromkeys(part.phases, fault)}
            except (AssertionError, OSError, TimeoutError, asyncpg.PostgresError) as error:
                # One part that cannot be measured is no reason to lose the others; it is named at the end.
                fault = {"void": [f"could not be measured: {str(error) or type(error).__name__}"]}
                found = {**fault, **dict.fromkeys(part.phases, fault)}
            for phase in part.phases or ("",):
                results.add(part.key(phase), found[phase] if phase else found)
    return results


@contextmanager
def open_servers(options: argparse.Namespace) -> Iterator[Servers]:
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("Two cores are needed: one for the server, one for the load.")
    people = max(PEOPLE, options.sockets) if "idle" in options.what else PEOPLE
    folder = Path(tempfile.mkdtemp(prefix="messenger-bench-"))
    servers = Servers(folder, options.seconds, scale=options.scale, profiles=options.profile, people=people)
    try:
        yield servers
    finally:
        servers.close()
        shutil.rmtree(folder, ignore_errors=True)


def allowed(sockets: int) -> int:
    """Each is an open file, of the server and of the load. Who they are started by passes the limit on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, sockets + SPARE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, OSError):  # to raise the hard limit is not everybody's right
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(sockets, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE)


def about(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "command": " ".join(["python -m proof.bench", *asked()]),
        "began": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "scale": options.scale,
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def asked() -> list[str]:
    """What was asked for, without the folder of the results: a name on one machine only."""
    folder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    folder.add_argument("--results")
    return folder.parse_known_args()[1]


if __name__ == "__main__":
    main()
