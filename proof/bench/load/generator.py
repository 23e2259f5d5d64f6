"""A process of its own on a core of its own: reads what to do from stdin, says what it counted on stdout, both JSON."""

import gc
import json
import os
import sys
from typing import Any

import uvloop

from proof.bench.load import groups, idle, pages, sends, soak

KINDS = {"sends": sends, "groups": groups, "idle": idle, "pages": pages, "soak": soak}


def main() -> None:
    spec: dict[str, Any] = json.load(sys.stdin)
    os.sched_setaffinity(0, spec["cores"])
    gc.disable()  # it lives for seconds; a collection would be seen as a latency of the server
    json.dump(uvloop.run(KINDS[spec["kind"]].measure(spec)), sys.stdout)


if __name__ == "__main__":
    main()
