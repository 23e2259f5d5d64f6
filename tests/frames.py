"""asyncapi.yml as a judge: every frame that any client of the tests hears or says is held against it.

What was seen is kept in the run's shared folder, so that a whole run, spread over workers, can tell which described
frame nobody ever saw: that fails the run. A part of the suite is not asked.
"""

import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from jsonschema_rs import Draft7Validator

from tests.contract import complaints

ASYNCAPI = Path(__file__).parents[1] / "asyncapi.yml"
FOLDER = "MESSENGER_TEST_FOLDER"
NEVER_SEEN = pytest.StashKey[list[str]]()

Direction = Literal["heard", "said"]  # by the client
# Where a frame says what it is: `type`, but for the sockets of older clients.
WORDS = ("event_type", "action", "type", "status")
# AsyncAPI speaks for the server.
ACTIONS: Mapping[Direction, str] = {"heard": "send", "said": "receive"}


class Frames:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._seen: set[str] = set()

    @cached_property
    def messages(self) -> dict[str, Draft7Validator]:
        described = self.document["components"]["messages"]
        return {name: Draft7Validator(self.inlined(message["payload"])) for name, message in described.items()}

    @cached_property
    def replies(self) -> dict[str, list[str]]:
        """What may answer a verb of messenger.v1."""
        found = {}
        for operation in self.document["operations"].values():
            if operation["action"] == "receive" and last_step(operation["channel"]["$ref"]) == "socket":
                (asked,) = names(operation["messages"])
                found[self.type_of(asked)] = names(operation.get("reply", {}).get("messages", []))
        return found

    @cached_property
    def spoken(self) -> dict[tuple[str, Direction], dict[str, str]]:
        """Per channel and direction: the message of each type. Answers to a verb are found by their verb."""
        found: dict[tuple[str, Direction], dict[str, str]] = {}
        for operation in self.document["operations"].values():
            channel = last_step(operation["channel"]["$ref"])
            for direction, action in ACTIONS.items():
                if operation["action"] == action:
                    kinds = found.setdefault((channel, direction), {})
                    kinds.update({self.type_of(name): name for name in names(operation["messages"])})
        return found

    def type_of(self, name: str) -> str:
        payload = self.inlined(self.document["components"]["messages"][name]["payload"])
        properties = payload["properties"]
        return str(next(properties[word]["const"] for word in WORDS if "const" in properties.get(word, {})))

    def check(
        self, direction: Direction, frame: dict[str, Any], *, channel: str = "socket", answering: str | None = None
    ) -> None:
        """AssertionError: this frame is not described. `answering`: the verb that this is the answer to."""
        self._saw(self.judge(direction, frame, channel=channel, answering=answering))

    def judge(
        self, direction: Direction, frame: dict[str, Any], *, channel: str = "socket", answering: str | None = None
    ) -> str:
        """The same for a frame that nobody sent; its name in the contract."""
        if answering is not None and answering in self.replies:
            possible = {self.type_of(name): name for name in self.replies[answering]}
        else:
            possible = self.spoken[channel, direction]
        name = next((possible[frame[word]] for word in WORDS if frame.get(word) in possible), None)
        if name is None:
            raise AssertionError(f"{told(direction, channel, frame)}: no such frame is described")
        complaint = complaints(self.messages[name], frame)
        assert not complaint, f"{told(direction, channel, frame)}: {name}{complaint}"
        return name

    def never_seen(self) -> list[str]:
        return sorted(self.messages.keys() - {path.name for path in seen_folder().iterdir()})

    def inlined(self, node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return self.inlined(self.find(node["$ref"]))
            return {key: self.inlined(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self.inlined(value) for value in node]
        return node

    def find(self, reference: str) -> Any:
        found = self.document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        return found

    def _saw(self, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            (seen_folder() / name).touch()


def told(direction: Direction, channel: str, frame: dict[str, Any]) -> str:
    return f"{direction} on the {channel}: {json.dumps(frame, ensure_ascii=False)[:500]}"


def names(references: list[dict[str, str]]) -> list[str]:
    return [last_step(one["$ref"]) for one in references]


def last_step(reference: str) -> str:
    return reference.rpartition("/")[2]


def seen_folder() -> Path:
    folder = Path(os.environ[FOLDER]) / "frames"
    folder.mkdir(exist_ok=True)
    return folder


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


FRAMES = Frames(yaml.load(ASYNCAPI.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


# --- the end of a run: only the process that started it knows of all workers ---


def is_whole(config: pytest.Config) -> bool:
    """Was everything asked for, as `make test` does? A choice of tests cannot have seen all frames."""
    option = config.option
    chosen = [option.keyword, option.deselect, option.ignore, option.ignore_glob, option.collectonly]
    everywhere = {(config.rootpath / path).resolve() for path in config.getini("testpaths")}
    asked = {(config.invocation_params.dir / path).resolve() for path in config.args}
    is_usual = option.markexpr in {"", "not engine", "not long and not engine"}
    return is_usual and not any(chosen) and not getattr(option, "lf", False) and asked == everywhere


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker and exitstatus == pytest.ExitCode.OK and is_whole(session.config):
        missing = FRAMES.never_seen()
        session.config.stash[NEVER_SEEN] = missing
        if missing:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for name in config.stash.get(NEVER_SEEN, []):
        terminalreporter.write_line(f"asyncapi.yml describes {name}, and no test ever saw it", red=True)
