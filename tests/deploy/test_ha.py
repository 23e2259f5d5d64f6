"""The files for three machines, tried with the programs that read them; then three machines as processes, one of which
loses its primary.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from proof.lab.machines import FILES, Haproxy, program as installed
from proof.lab.processes import ROOT
from tests.deploy.conftest import Program

PATIENCE = 60
TORTURE = 280


def run(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=FILES, env={**os.environ, **environment}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
