"""The load, its baselines, and what the two say together.

python -m proof.bench                        all scenarios, three rounds
python -m proof.bench S1 S5 --rounds 1 --seconds 2   some of them, quickly
python -m proof.bench soak --minutes 10      half load for a long time
python -m proof.bench search                 a million messages, searched
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from proof.bench.load.plan import Part, plan, soak
from proof.bench.load.questions import search
from proof.bench.load.servers import Servers
from proof.bench.report import searches, soaks, tables
from proof.bench.report.pictures import draw
from proof.bench.report.results import Results

SCENARIOS = ("S1", "S2", "S4", "S5")


def main() -> None:
    options = parser().parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    if options.what in (["soak"], ["search"]):
        (name,) = options.what
        with open_servers(options) as servers:
            work = soak(servers, options.minutes) if name == "soak" else search(servers, options.messages)
            found = {"about": about(options), **asyncio.run(work)}
        said = (soaks if name == "soak" else searches).everything(found)
        (options.results / f"{name}.json").write_text(json.dumps(found, indent=1))
        (options.results / f"{name}.md").write_text(said + "\n")
    else:
        parts = chosen(options.what)
        with open_servers(options) as servers:
            results = asyncio.run(measured(options, parts, servers))
        results.write(options.results / "results.json")
        said = tables.everything(results)
        (options.results / "tables.md").write_text(said + "\n")
        draw(results, options.results)
    print(said)
    print(f"\nWritten to {options.results}: the figures as JSON, these tables, pictures.")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m proof.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", nargs="*", metavar="S1", help=f"some of {' '.join(SCENARIOS)}, soak, or search; none: all"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="that each part is measured")
    parser.add_argument("--minutes", type=float, default=10.0, help="of a soak")
    parser.add_argument("--messages", type=int, default=1_000_000, help="that are searched")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of people: below 1 for a quick try")
    parser.add_argument("--profile", action="store_true", help="after each part: where the server's time went (py-spy)")
    parser.add_argument("--results", type=Path, default=Path("bench-results"), metavar="FOLDER")
    return parser


def chosen(scenarios: Sequence[str]) -> list[Part]:
    unknown = set(scenarios) - set(SCENARIOS)
    if unknown:
        raise SystemExit(
            f"There is no {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}; soak and search alone."
        )
    return [part for part in plan() if not scenarios or part.scenario in scenarios]


async def measured(options: argparse.Namespace, parts: Sequence[Part], servers: Servers) -> Results:
    results = Results(about(options))
    for number in range(1, options.rounds + 1):
        for part in parts:
            print(f"round {number} of {options.rounds}: {part.key()}", file=sys.stderr, flush=True)
            try:
                found = await part.run(servers)
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
    folder = Path(tempfile.mkdtemp(prefix="messenger-bench-"))
    servers = Servers(folder, options.seconds, scale=options.scale, profiles=options.profile)
    try:
        yield servers
    finally:
        servers.close()
        shutil.rmtree(folder, ignore_errors=True)


def about(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "command": "python -m proof.bench " + " ".join(sys.argv[1:]),
        "began": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "scale": options.scale,
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
