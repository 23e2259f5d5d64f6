"""Files of others that lie in our tree, with the sums of what their makers published."""

import hashlib
from pathlib import Path

SUMS = "SHA256SUMS"


def recorded(folder: Path) -> dict[str, str]:
    return dict(reversed(line.split()) for line in (folder / SUMS).read_text().splitlines())


def found(folder: Path) -> dict[str, str]:
    others = (path for path in folder.iterdir() if path.name != SUMS)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in others}
