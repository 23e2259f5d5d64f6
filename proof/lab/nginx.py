"""nginx as it is deployed, before any servers, on ports of its own."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from proof.lab.processes import ROOT, Program, clean_environment, free_port

FILES = ROOT / "deploy" / "nginx"
PLACES = "/usr/sbin:/sbin"  # where Debian keeps nginx


class Nginx(Program):
    def __init__(self, folder: Path, servers: Sequence[str], **settings: str) -> None:
        """`servers`: host:port each. `settings`: those of run.sh."""
        self.folder = folder
        self.port, self.other_port, self.tls_port = free_port(), free_port(), free_port()
        self._settings = {"API_SERVERS": " ".join(servers), "NGINX_DIR": str(folder / "nginx"), **settings}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def lines(self) -> list[dict[str, Any]]:
        """The access log."""
        return [msgspec.json.decode(line) for line in self.said.splitlines() if line.startswith("{")]

    def written(self, changes: Mapping[str, str] | None = None) -> Path:
        """The files, with these ports and changes; a text to be changed must be there exactly once."""
        files = shutil.copytree(FILES, self.folder / "files")
        changes = {
            "listen 8080;": f"listen 127.0.0.1:{self.port};",
            "listen 8000;": f"listen 127.0.0.1:{self.other_port};",
            "listen 8443 ": f"listen 127.0.0.1:{self.tls_port} ",
            "worker_connections 16384;": "worker_connections 512;",
            **(changes or {}),
        }
        for old, new in changes.items():
            [file] = [file for file in files.glob("*.conf") if old in file.read_text()]
            text = file.read_text()
            assert text.count(old) == 1, f"{old!r} is in {file.name} more than once"
            file.write_text(text.replace(old, new))
        return files

    def start(self, changes: Mapping[str, str] | None = None) -> Self:
        environment = clean_environment()
        environment |= {"PATH": f"{environment['PATH']}:{PLACES}", **self._settings}
        self.spawn([str(self.written(changes) / "run.sh")], self.folder / "said", environment, self.folder)
        return self
