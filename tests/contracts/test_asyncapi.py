"""asyncapi.yml describes what the code speaks: verbs, fields, close codes; and it agrees with swagger.yml.

That every frame of every test is described, and every described frame was seen in a whole run, is looked after by
tests/frames.py; here it is planted that neither could pass unnoticed.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from messenger.apps.classic import closing as classic_closing
from messenger.apps.classic import schemas as classic
from messenger.apps.docs import contract
from messenger.apps.messages import schemas
from messenger.apps.presence.commands import PresenceFrame, TypingFrame
from messenger.apps.ws import closing
from messenger.settings import Config
from messenger.subapp import load
from tests.actors import Person
from tests.contract import CONTRACT
from tests.frames import FRAMES, Frames, last_step, references

ROOT = Path(__file__).parents[2]
DOCUMENT = FRAMES.document
EVERYTHING = Config().apps
COMPONENTS = DOCUMENT["components"]
SPOKEN_BY_THE_SOCKET = {"resume", "ping"}  # verbs of no sub-app but ws itself

# What comes in: the type a command reads its frame into, and the message that describes it.
READ_INTO = {
    "NewMessage": schemas.SendFrame,
    "ReadMessage": schemas.ReadFrame,
    "EditMessage": schemas.EditFrame,
    "DeleteMessage": schemas.MessageFrame,
    "React": schemas.ReactFrame,
    "Unreact": schemas.ReactFrame,
    "Typing": TypingFrame,
    "Presence": PresenceFrame,
    "ClassicSay": classic.AllChatsSend,
    "ClassicRead": classic.AllChatsRead,
    "ClassicSayHere": classic.OneChatSend,
    "ClassicReadHere": classic.OneChatRead,
}
BOUNDS = ("minLength", "maxLength", "minimum", "maximum", "pattern")


def shape(schema: dict[str, Any], defined: dict[str, Any]) -> Iterator[tuple[str, tuple[tuple[str, Any], ...]]]:
    """The types a value may have, each with its bounds."""
    if "$ref" in schema:
        yield from shape(defined[last_step(schema["$ref"])], defined)
        return
    for one in schema.get("anyOf", schema.get("oneOf", [])):
        yield from shape(one, defined)
    if "enum" in schema:
        yield "enum", tuple(("value", value) for value in sorted(schema["enum"]))
    elif "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        yield from ((kind, tuple((name, schema[name]) for name in BOUNDS if name in schema)) for kind in kinds)


def differences(message: str, kind: type[msgspec.Struct]) -> list[str]:
    """Between a frame as it is described and as the code reads it. Bounds may be narrower where a service checks."""
    (_, defined) = msgspec.json.schema_components([kind])
    read = defined[kind.__name__]
    described = COMPONENTS["messages"][message]["payload"]
    fields = {name: one for name, one in described["properties"].items() if name not in {"type", "action", "ref"}}
    found = [f"{message}: {name} is on one side only" for name in sorted(fields.keys() ^ read["properties"].keys())]
    if set(described["required"]) - {"type", "action"} != set(read.get("required", [])):
        found.append(f"{message}: required are {read.get('required')}")
    for name in sorted(fields.keys() & read["properties"].keys()):
        theirs = dict(shape(fields[name], COMPONENTS["schemas"]))
        ours = dict(shape(read["properties"][name], defined))
        if theirs.keys() != ours.keys() or any(not set(ours[one]) <= set(theirs[one]) for one in ours):
            found.append(f"{message}: {name} is {ours}")
    return found


def test_every_reference_leads_somewhere_and_nothing_is_described_in_vain() -> None:
    used = set(references(DOCUMENT))

    for reference in used:
        FRAMES.find(reference)
    for kind, parts in COMPONENTS.items():
        assert {name for name in parts if f"#/components/{kind}/{name}" not in used} == set(), kind
    for channel in DOCUMENT["channels"].values():
        for name, reference in channel["messages"].items():
            assert reference["$ref"] == f"#/components/messages/{name}"


def test_every_frame_has_an_example_that_is_one() -> None:
    for name, message in COMPONENTS["messages"].items():
        assert message["examples"], name
        assert message["name"] == FRAMES.type_of(name)
        for example in message["examples"]:
            assert [error.message for error in FRAMES.messages[name].iter_errors(example["payload"])] == [], name


def test_every_verb_is_described_with_its_owner_and_nothing_else_is() -> None:
    contributed = {verb: one.app.name for one in load(EVERYTHING) for verb in one.app.commands}
    spoken = [one for one in DOCUMENT["operations"].values() if last_step(one["channel"]["$ref"]) == "socket"]
    operations = [one for one in spoken if one["action"] == "receive"]

    described = {one["title"]: one["x-subapp"] for one in operations}

    assert described == {**contributed, **dict.fromkeys(SPOKEN_BY_THE_SOCKET, "ws")}
    assert FRAMES.replies.keys() == described.keys()


def test_every_kind_of_entry_that_is_shown_is_described_for_all_transports() -> None:
    shown = {kind: one.app.name for one in load(EVERYTHING) for kind in one.app.event_renderers}
    for channel in ("socket", "stream"):
        spoken = FRAMES.spoken[channel, "heard"]

        assert {kind: COMPONENTS["messages"][spoken[kind]]["x-subapp"] for kind in shown} == shown
    assert FRAMES.spoken["stream", "heard"].keys() == shown.keys() | {"limited", "resync"}


@pytest.mark.parametrize("message", READ_INTO)
def test_a_verb_is_described_as_it_is_read(message: str) -> None:
    assert differences(message, READ_INTO[message]) == []


def test_a_verb_that_is_read_otherwise_is_reported() -> None:
    class Other(msgspec.Struct):
        chat_id: int
        words: str

    found = differences("Typing", Other)

    assert found[:2] == ["Typing: words is on one side only", "Typing: required are ['chat_id', 'words']"]
    assert found[2].startswith("Typing: chat_id is")


@pytest.mark.parametrize("name", ["Message", "Reaction", "ReadCursor", "MessagePage"])
def test_a_message_is_described_as_it_is_written(name: str) -> None:
    (_, defined) = msgspec.json.schema_components([getattr(schemas, name)])
    described = CONTRACT.document["components"]["schemas"][
        {"Message": "OwnMessage", "MessagePage": "History"}.get(name, name)
    ]

    assert set(described["properties"]) == set(defined[name]["properties"])
    optional = {"client_id"} if name == "Message" else set()
    assert set(described["required"]) - optional == set(defined[name]["required"])


def meaning(node: Any) -> Any:
    """A schema without the words for people."""
    if isinstance(node, dict):
        return {key: meaning(value) for key, value in node.items() if key not in {"description", "examples", "default"}}
    return [meaning(one) for one in node] if isinstance(node, list) else node


def test_what_both_contracts_name_is_the_same_thing() -> None:
    ours, theirs = COMPONENTS["schemas"], CONTRACT.document["components"]["schemas"]
    shared = ours.keys() & theirs.keys()

    assert len(shared) >= 18
    for name in shared:
        assert meaning(FRAMES.inlined(ours[name])) == meaning(CONTRACT.inlined(theirs[name])), name
    problem = FRAMES.inlined(ours["FrameProblem"])["properties"]
    assert problem.keys() - {"retry_after"} == theirs["Problem"]["properties"].keys()


def test_what_the_server_says_has_no_room_for_more_and_what_it_hears_has() -> None:
    for (_, direction), kinds in FRAMES.spoken.items():
        for name in kinds.values():
            payload = COMPONENTS["messages"][name]["payload"]
            assert payload.get("additionalProperties", True) is (direction == "said"), name


def test_the_close_codes_are_those_of_the_code_and_of_the_page() -> None:
    for channel, closings, path in (
        ("socket", closing.CLOSINGS, "docs/protocol.md"),
        ("classicChats", classic_closing.CLOSINGS, "docs/classic.md"),
    ):
        codes = DOCUMENT["channels"][channel]["x-close-codes"]
        page = (ROOT / path).read_text()

        assert codes == {str(one.code): {"reason": one.reason, "when": one.when} for one in closings}
        for one in closings:
            assert f"| {one.code} | {one.reason} | {one.when} |" in page


def test_every_frame_is_on_the_page_of_its_protocol() -> None:
    for name in FRAMES.messages:
        page = "classic" if name.startswith("Classic") else "protocol"
        assert f"`{FRAMES.type_of(name)}`" in (ROOT / f"docs/{page}.md").read_text(), FRAMES.type_of(name)


@pytest.mark.parametrize("off", ["ws", "events", "messages", "presence", "classic"])
def test_a_sub_app_takes_its_frames_with_it(off: str) -> None:
    left = Frames(contract.parse(contract.served("asyncapi.yml", frozenset(EVERYTHING) - {off})))

    for reference in references(left.document):
        left.find(reference)
    owners = {one["x-subapp"] for one in left.document["operations"].values()}
    owners |= {one["x-subapp"] for one in left.document["components"]["messages"].values() if "x-subapp" in one}
    assert off not in owners
    assert left.messages.keys() < FRAMES.messages.keys() or off == "events"
    assert ("stream" in left.document["channels"]) is (off != "events")


async def test_the_contract_is_served_as_it_was_written(nobody: Person) -> None:
    served = (await nobody.get("/asyncapi.yml")).expecting(200)

    assert served.body == contract.find("asyncapi.yml").read_bytes()


TYPING = {"type": "typing", "chat_id": "3", "user_id": "42"}
PLANTED = [
    ("heard", {"type": "rumour"}, "no such frame"),
    ("heard", {**TYPING, "name": "Ann"}, "Additional properties"),
    ("heard", {"type": "typing", "chat_id": "3"}, "required property"),
    ("heard", {**TYPING, "chat_id": 3}, "is not of type"),
    ("heard", {"type": "ack", "ref": "1", "result": {}}, "no such frame"),
    ("said", {"type": "typing"}, "required property"),
]


@pytest.mark.parametrize(("direction", "frame", "complaint"), PLANTED)
def test_a_frame_that_is_not_described_is_reported(direction: Any, frame: dict[str, Any], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        FRAMES.judge(direction, frame)


def test_an_answer_to_another_verb_is_reported() -> None:
    with pytest.raises(AssertionError, match="TypingAck"):
        FRAMES.judge("heard", {"type": "ack", "ref": "1", "result": {"status": "away"}}, answering="typing")


# --- a whole run, in small: the same plug-in, a suite of one test in two workers, a contract of two frames ---

SUITE = """
import json
from tests import frames

def test_some_frame():
    frames.FRAMES.check("heard", json.loads({frame!r}))

def test_another():
    pass
"""


def small_run(folder: Path, frame: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Only `Pong` and `Hello` are described there."""
    document = {
        **DOCUMENT,
        "operations": {
            "greet": {
                **DOCUMENT["operations"]["greet"],
                "messages": [{"$ref": "#/channels/socket/messages/Hello"}, {"$ref": "#/channels/socket/messages/Pong"}],
            }
        },
        "components": {**COMPONENTS, "messages": {name: COMPONENTS["messages"][name] for name in ("Hello", "Pong")}},
    }
    (folder / "asyncapi.json").write_text(json.dumps(document))
    (folder / "suite").mkdir(exist_ok=True)
    (folder / "shared").mkdir(exist_ok=True)
    (folder / "suite" / "test_small.py").write_text(SUITE.format(frame=json.dumps(frame)))
    (folder / "suite" / "conftest.py").write_text(
        "import json\nfrom pathlib import Path\nfrom tests import frames\n"
        "def pytest_configure(config):\n    config.pluginmanager.register(frames, 'frames')\n"
        f"frames.FRAMES = frames.Frames(json.loads(Path({str(folder / 'asyncapi.json')!r}).read_text()))\n"
    )
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = suite\n")
    environment = {**os.environ, "MESSENGER_TEST_FOLDER": str(folder / "shared"), "PYTHONPATH": str(ROOT)}
    environment = {name: value for name, value in environment.items() if not name.startswith(("PYTEST", "COV"))}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # most of the time would go there
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


PONG = {"type": "pong"}
HELLO = COMPONENTS["messages"]["Hello"]["examples"][0]["payload"]


def test_a_whole_run_that_never_saw_a_described_frame_fails_and_a_part_of_it_does_not(tmp_path: Path) -> None:
    whole = small_run(tmp_path, PONG, "-n2")

    assert (whole.returncode, "2 passed" in whole.stdout) == (1, True), whole.stdout
    assert "asyncapi.yml describes Hello, and no test ever saw it" in whole.stdout
    assert small_run(tmp_path, PONG, "-k", "another").returncode == 0
    assert small_run(tmp_path, PONG, "suite/test_small.py").returncode == 0
    # What one worker saw counts for all: the folder is shared.
    assert small_run(tmp_path, HELLO, "-n2").returncode == 0


# --- the page's own words, executed ---


class Applied:
    """What a client keeps: the rule of docs/protocol.md decides what becomes of it."""

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}
        self.cursors: dict[int, str] = {}
        self.told: list[Any] = []

    def load(self, state: Any) -> None:
        self.told.append(("load", state))

    def read_pages(self, chat_id: str, from_seq: int, to_seq: int) -> None:
        self.told.append(("pages", chat_id, from_seq, to_seq))

    def change(self, event: dict[str, Any]) -> None:
        self.told.append(event["type"])


def the_rule() -> Any:
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/protocol.md").read_text(), re.DOTALL)
    words: dict[str, Any] = {"get": lambda path: path}
    exec(source, words)
    return words["apply"]


def test_the_rule_of_the_page_applies_every_event_once_whatever_comes_twice() -> None:
    apply, state = the_rule(), Applied()
    examples = {name: one["examples"][0]["payload"] for name, one in COMPONENTS["messages"].items()}
    said, edited = examples["MessageSaid"], examples["MessageEdited"]

    for event in (said, edited, said, edited, examples["SomebodyTypes"], examples["Limited"], examples["Resync"]):
        apply(state, event)

    limited = examples["Limited"]
    assert state.told == [
        *("new_message", "message_edited", "typing"),
        ("pages", limited["chat_id"], limited["from_seq"], limited["to_seq"]),
        ("load", "/v1/sync"),
    ]
    assert state.cursors == {0: examples["Resync"]["cursor"]}


def test_by_the_rule_positions_compare_within_one_log_only() -> None:
    apply, state = the_rule(), Applied()
    said = COMPONENTS["messages"]["MessageSaid"]["examples"][0]["payload"]
    elsewhere = said | {"log": 1, "cursor": "77aa.5"}
    FRAMES.judge("heard", elsewhere)

    for event in (said, elsewhere, elsewhere, said):
        apply(state, event)

    assert state.told == ["new_message"] * 2
    assert state.cursors == {0: said["cursor"], 1: "77aa.5"}


async def test_by_the_rule_a_client_that_resumes_too_early_still_hears_everything_once(
    alice: Person, bob: Person
) -> None:
    apply, state = the_rule(), Applied()
    chat = await alice.opens_chat("lunch", [bob])
    async with bob.connects() as socket:
        start = socket.ready["cursor"]
        for word in ("one", "two", "three"):
            (await alice.post(f"/v1/chats/{chat}/messages", {"text": word})).expecting(201)
            apply(state, await socket.hears("new_message"))

    (await alice.post(f"/v1/chats/{chat}/messages", {"text": "four"})).expecting(201)
    async with bob.connects(cursor=start) as socket:
        await socket.hears("resumed")
        for event in socket.heard:
            apply(state, event)

    assert state.told.count("new_message") == 4


def test_the_json_on_the_page_is_described() -> None:
    shown = [
        json.loads(line)
        for block in re.findall(r"```json\n(.*?)```", (ROOT / "docs/protocol.md").read_text(), re.DOTALL)
        for line in block.splitlines()
    ]

    assert len(shown) >= 4
    for frame in shown:
        FRAMES.judge("said" if frame["type"] in FRAMES.replies else "heard", frame)


def test_the_json_on_the_page_of_older_clients_is_described() -> None:
    page = (ROOT / "docs/classic.md").read_text()
    all_chats, one_chat = page.partition("### One chat")[::2]
    for part, channel in ((all_chats, "classicChats"), (one_chat, "classicChat")):
        blocks = re.findall(r"```json\n(.*?)```", part, re.DOTALL)
        shown = [json.loads(line) for block in blocks for line in block.splitlines()]

        assert len(shown) >= 4
        for frame in shown:
            is_said = frame.get("type") in {"new_message", "read_message"} or set(frame) <= {
                "action",
                "message_id",
                "text",
            }
            FRAMES.judge("said" if is_said else "heard", frame, channel=channel)
