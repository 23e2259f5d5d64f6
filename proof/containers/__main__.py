"""`python -m proof.containers rolling` and `… kills`, after `docker compose up -d --wait`; the second is for root.

Exit code 1: something was lost, doubled, reordered or, by a rolling restart, failed.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import quantiles

import uvloop

from proof.containers.engine import APIS, Compose
from proof.containers.people import Outcome, People, people
from proof.lab.waiting import running

KILLED = ("api1", "api2", "nginx", "pgbouncer", "redis", "rabbitmq", "consumer", "postgres")
SETTLING = 3.0  # seconds of use before the first and after the last blow


def main() -> None:
    options = arguments()
    sys.exit(uvloop.run(rolling(options) if options.act == "rolling" else kills(options)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proof.containers", description=__doc__)
    parser.add_argument("act", choices=("rolling", "kills"))
    parser.add_argument("services", nargs="*", help="kills: which; all unless told otherwise")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--rounds", type=int, default=5, help="rolling restarts of both servers")
    parser.add_argument("--rate", type=float, default=220, help="requests a second")
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--people", type=int, default=40)
    return parser.parse_args()


async def rolling(options: argparse.Namespace) -> int:
    async with people(options.url, how_many=options.people, sockets=options.sockets) as crowd:
        began = time.monotonic()
        async with running(crowd.use(options.rate)):
            await asyncio.sleep(SETTLING)
            for number in range(1, options.rounds + 1):
                took = [await Compose().renew(api) for api in APIS]
                print(f"round {number}: " + ", ".join(f"{seconds:.1f} s" for seconds in took), flush=True)
            await asyncio.sleep(SETTLING)
            seconds = time.monotonic() - began
    return judged(crowd, seconds, may_fail=False)


async def kills(options: argparse.Namespace) -> int:
    async with people(options.url, how_many=options.people, sockets=options.sockets) as crowd:
        began = time.monotonic()
        async with running(crowd.use(options.rate)):
            await asyncio.sleep(SETTLING)
            for service in options.services or KILLED:
                blow = time.monotonic()
                took = await Compose().kill(service)
                await asyncio.sleep(SETTLING)
                hit = [one for one in crowd.outcomes if one.at >= blow]
                print(f"{service}: healthy after {took:.1f} s; {summary(hit)}", flush=True)
            seconds = time.monotonic() - began
    return judged(crowd, seconds, may_fail=True)


def judged(crowd: People, seconds: float, *, may_fail: bool) -> int:
    outcomes, followers = crowd.outcomes, crowd.followers
    failed = sum(not one.is_fine for one in outcomes)
    print(f"{len(outcomes) / seconds:.0f} requests/s for {seconds:.0f} s: {summary(outcomes)}")
    print(f"{sum(len(room.acknowledged) for room in crowd.rooms)} messages acknowledged")
    print(
        f"{sum(len(one.heard) for one in followers)} events heard by {len(followers)} sockets over "
        f"{sum(one.connections for one in followers)} connections, ended by "
        f"{said(sum((one.ends for one in followers), Counter()))}"
    )
    print(f"lost, doubled or reordered: {said(+crowd.flaws)}")
    return int(bool(+crowd.flaws) or bool(failed and not may_fail))


def summary(outcomes: Sequence[Outcome]) -> str:
    if len(outcomes) < 2:
        return "nothing was asked"
    took = quantiles((1000 * one.seconds for one in outcomes), n=100)
    failed = [one for one in outcomes if not one.is_fine]
    last = f", {silence(failed):.1f} s from the first failure to the last" if failed else ""
    kinds = Counter(f"{one.what} {one.status}" for one in failed)
    return f"p50 {took[49]:.0f}, p99 {took[98]:.0f} ms; failed {len(failed)} of {len(outcomes)} ({said(kinds)}){last}"


def silence(failed: Iterable[Outcome]) -> float:
    ends = [one.at + one.seconds for one in failed]
    return max(ends) - min(one.at for one in failed)


def said(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counts.most_common()) or "none"


if __name__ == "__main__":
    main()
