"""Where a worker's time went while it was measured, by py-spy (pip install py-spy): the functions at the top.

It looks from the generator's core and never stops the worker, so the figures are disturbed little; they are not for
quoting all the same.
"""

import re
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

RATE = 500
MOST = 25
NAME = "stacks-"
LOOP = re.compile(r"^.*;(?:GunicornWebWorker|Runner)\.run \([^;]*\)(?:;|$)")


def watchers(pids: Sequence[int], seconds: float, folder: Path) -> list[list[str]]:
    py_spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if py_spy is None:
        raise SystemExit("--profile needs py-spy: pip install py-spy")
    options = ["record", "--nonblocking", "--format=raw", f"--rate={RATE}", f"--duration={max(1, round(seconds))}"]
    return [[py_spy, *options, f"--output={folder / NAME}{pid}", f"--pid={pid}"] for pid in pids]


def table(folder: Path) -> str:
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for file in folder.glob(f"{NAME}*"):
        for line in file.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            # Above the loop there is nothing to learn; its own line is the kernel's and uvloop's part.
            calls = LOOP.split(stack)[-1].split(";")
            calls = [f"{call.rpartition(':')[0] or call})" if call else "the loop itself" for call in calls]
            own[calls[-1]] += int(count)
            within.update(dict.fromkeys(calls, int(count)))
        file.unlink()
    everything = sum(own.values()) or 1
    lines = [f"{'own':>6} {'within':>6}  of {everything} samples of busy threads"]
    lines += [
        f"{own[one] / everything:>6.1%} {within[one] / everything:>6.1%}  {one}" for one, _ in own.most_common(MOST)
    ]
    lines.append("most within:")
    lines += [
        f"{own[one] / everything:>6.1%} {share / everything:>6.1%}  {one}" for one, share in within.most_common(MOST)
    ]
    return "\n".join(lines)
