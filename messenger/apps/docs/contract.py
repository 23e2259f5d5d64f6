"""Where the machine-readable contract lies, and what of it holds for the sub-apps that are enabled.

Everything in the file that carries `x-subapp` belongs to that sub-app and goes with it.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
# A wheel carries its copy inside the package; a checkout has the file at the top, where people look for it.
PLACES = (HERE / "contracts", HERE.parents[2])
OWNER = "x-subapp"


def find(name: str) -> Path:
    for place in PLACES:
        if (place / name).is_file():
            return place / name
    raise FileNotFoundError(f"{name} belongs to this package and is neither in {PLACES[0]} nor in {PLACES[1]}.")


@lru_cache(maxsize=16)
def served(name: str, enabled: frozenset[str]) -> bytes:
    """The file as it was written when everything of it is enabled, else what is left of it."""
    raw = find(name).read_bytes()
    whole = parse(raw)
    left = trimmed(whole, enabled)
    return raw if left == whole else yaml.safe_dump(left, sort_keys=False, allow_unicode=True).encode()


def parse(raw: bytes) -> dict[str, Any]:
    # The reader in C is ten times as fast, and is missing where libyaml was.
    document: dict[str, Any] = yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return document


def trimmed(document: dict[str, Any], enabled: frozenset[str]) -> dict[str, Any]:
    left: dict[str, Any] = _without(document, enabled)
    if "paths" in left:
        left["paths"] = {
            path: item for path, item in left["paths"].items() if any("operationId" in op for op in item.values())
        }
    if "channels" in left:
        left = _without_dangling(left)
    return left if left == document else _without_orphans(left)


def _without_dangling(document: dict[str, Any]) -> dict[str, Any]:
    """What spoke of switched-off messages and channels, in turn: first the channels, then the operations on them."""
    for channel in document["channels"].values():
        channel["messages"] = {name: one for name, one in channel["messages"].items() if _leads(document, one)}
    for operation in document["operations"].values():
        for speaker in (operation, operation.get("reply", {})):
            if "messages" in speaker:
                speaker["messages"] = [one for one in speaker["messages"] if _leads(document, one)]
    spoken = {name: one for name, one in document["operations"].items() if _leads(document, one["channel"])}
    document["operations"] = {name: one for name, one in spoken.items() if one["messages"]}
    return document


def _leads(document: dict[str, Any], reference: dict[str, str]) -> bool:
    found: Any = document
    for step in reference["$ref"].removeprefix("#/").split("/"):
        if step not in found:
            return False
        found = found[step]
    return True


def _without(node: Any, enabled: frozenset[str]) -> Any:
    if isinstance(node, dict):
        return {key: _without(value, enabled) for key, value in node.items() if not _is_off(value, enabled)}
    if isinstance(node, list):
        return [_without(value, enabled) for value in node if not _is_off(value, enabled)]
    return node


def _is_off(node: Any, enabled: frozenset[str]) -> bool:
    return isinstance(node, dict) and node.get(OWNER, "") != "" and node[OWNER] not in enabled


def _without_orphans(document: dict[str, Any]) -> dict[str, Any]:
    """Schemas and answers that only switched-off operations spoke of go too; schemes are named, not referred to."""
    components: dict[str, dict[str, Any]] = document["components"]
    while True:
        used = set(_references(document))
        kept = {
            kind: {
                name: part
                for name, part in parts.items()
                if kind == "securitySchemes" or f"#/components/{kind}/{name}" in used
            }
            for kind, parts in components.items()
        }
        if kept == components:
            return document
        components = document["components"] = kept


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
