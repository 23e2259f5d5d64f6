"""`python -m bench [S1 …] [--rounds N] [--seconds N]`: the load, its limits, and what the two say together."""

import argparse
import asyncio
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.load.plan import plan
from bench.load.stage import Stage
from bench.report import tables
from bench.report.pictures import draw
from bench.report.results import Results

RESULTS = Path("bench-results")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="S1", help="some of S1 S2 S4 S5; none: all of them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="that each part is measured")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of people: below 1 for a quick try")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result file and the pictures")
    options = parser.parse_args()
    results = asyncio.run(measure(options))
    options.results.mkdir(parents=True, exist_ok=True)
    results.write(options.results / "results.json")
    said = tables.everything(results)
    (options.results / "tables.md").write_text(said + "\n")
    draw(results, options.results)
    print(said)
    print(f"\nResult file, tables and pictures: {options.results}")


async def measure(options: argparse.Namespace) -> Results:
    results = Results({"command": " ".join(sys.argv), "machine": platform.platform(), "began": time.ctime()})
    parts = [part for part in plan() if not options.scenarios or part.scenario in options.scenarios]
    folder = Path(tempfile.mkdtemp(prefix="messenger-bench-"))
    stage = Stage(folder, options.seconds, scale=options.scale)
    try:
        for number in range(1, options.rounds + 1):
            for part in parts:
                print(f"round {number}: {part.key()}", file=sys.stderr, flush=True)
                found = await part.run(stage)
                for phase in part.phases or ("",):
                    results.add(part.key(phase), found[phase] if phase else found)
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)
    return results


if __name__ == "__main__":
    main()
