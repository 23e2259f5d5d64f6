"""How big the proofs are: FAULTS_SCALE=1 runs all rounds and messages that are claimed."""

import os

SCALE = float(os.environ.get("FAULTS_SCALE", "0.12"))


def sized(full: int, *, least: int = 1) -> int:
    return max(least, int(full * SCALE))
