"""messenger.js under Node, against real servers: what it promises to those who build on it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from messenger.apps.ws.closing import DRAINING
from messenger.log import replay
from proof.lab.processes import Process
from proof.lab.proxy import Dropper, Mood, Proxy, to_port
from tests.actors import PASSWORD, Person, Server
from tests.apps.talk import says
from tests.client.doings import Doings
from tests.client.puppets import MISSING, NODE, ClientError, Puppet, Stage
from tests.conftest import SECRET_KEY
from tests.sizes import sized

pytestmark = [pytest.mark.shared, pytest.mark.skipif(not NODE, reason=MISSING)]

CUTS, SENDS = 5, 40
HURRY = {"shortestPause": 20, "longestPause": 100}
# Not more than that: on a busy machine a line that lives may be silent for a moment.
IMPATIENT = {**HURRY, "quiet": 500, "patience": 1000, "doubt": 300, "opening": 3000, "answer": 1500}


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with Stage.opened() as stage:
        yield stage


class NoUpgrades(Dropper):
    """What some proxies do with sockets, as long as the proxy drops."""

    def forth(self, data: bytes, dropping: bool) -> tuple[bytes, bytes]:
        if dropping and b"upgrade: websocket" in data.lower():
            return b"", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
        return data, b""


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    proxy = await Proxy(to_port(server.port), NoUpgrades).start()
    yield proxy
    await proxy.close()


async def test_what_is_said_comes_once_and_what_i_say_comes_as_mine(stage: Stage, alice: Person, bob: Person) -> None:
    lunch = await alice.opens_chat("lunch", [bob])
    async with stage.plays_for(alice) as hers, stage.plays_for(bob) as his:
        await hers.gets("online")
        said = await hers.does("send", lunch, "pizza?", {"clientId": "k1"})
        heard = await his.hears("new_message")
        own = await hers.hears("new_message")
        answer = await his.does("send", lunch, "pizza!", {"replyTo": said["message_id"]})
        await hers.until(lambda: len(hers.said) == 2, "answer")

        assert (own["own"], own["message"]["client_id"], "cursor" in own) == (True, "k1", False)
        assert heard["message"] == {name: value for name, value in said.items() if name != "client_id"}
        assert (answer["seq"], answer["reply_to"]) == (2, said["message_id"])
        assert hers.said[1]["text"] == "pizza!"
        await his.gets("online")
        await his.does("typing", lunch)
        await hers.hears("typing", user_id=bob.user_id)


async def test_verbs_do_the_same_by_socket_and_without_one(stage: Stage, alice: Person, bob: Person) -> None:
    lunch = await alice.opens_chat("lunch", [bob])
    told = []
    for socket in (True, False):
        async with stage.plays_for(alice, socket=socket) as device:
            await device.gets("online")
            said = (await device.does("send", lunch, "pizza?"))["message_id"]
            edited = await device.does("edit", lunch, said, "pizza!")
            await device.does("react", lunch, said, "🍕")
            await device.does("unreact", lunch, said, "🍕")
            marker = await device.does("read", lunch, said)
            await device.does("remove", lunch, said)
            await device.hears("message_deleted")

            assert (edited["text"], marker["message_id"]) == ("pizza!", said)
            told.append([event["type"] for event in device.events if not event.get("own")])

    assert told[0] == [kind for kind in told[1] if kind != "new_message"]


async def test_a_refusal_is_a_problem_with_its_code(stage: Stage, alice: Person, bob: Person) -> None:
    hers = await alice.opens_chat("diary")
    for socket in (True, False):
        async with stage.plays_for(bob, socket=socket) as device:
            with pytest.raises(ClientError) as strange:
                await device.does("send", hers, "let me in")
            with pytest.raises(ClientError) as empty:
                await device.does("call", "PATCH", "v1/users/me", {"user_name": ""})

            assert (strange.value.name, strange.value.code, strange.value.status) == ("Problem", "chat-not-found", 404)
            assert (empty.value.code, empty.value.errors[0]["pointer"]) == ("bad-parameters", "/user_name")


REFUSED = {
    "half \ud800": "bad-parameters",
    "zero \0": "bad-parameters",
    "x" * 5_000: "bad-parameters",
    "ы" * 50_000: "too-large",
}


@pytest.mark.parametrize(("text", "code"), REFUSED.items(), ids=("half a character", "a zero", "long", "too long"))
async def test_words_that_no_frame_can_carry_are_refused_and_hold_nothing_up(
    stage: Stage, alice: Person, text: str, code: str
) -> None:
    diary = await alice.opens_chat("diary")
    async with stage.plays_for(alice) as device:
        await device.gets("online")
        refused, stored = device.does("send", diary, text), device.does("send", diary, "dear diary")

        with pytest.raises(ClientError) as refusal:
            await refused
        assert refusal.value.code == code
        assert (await stored)["seq"] == 1
        assert device.phase == "online"


async def test_an_account_is_made_and_its_session_is_kept_until_it_signs_out(stage: Stage, server: Server) -> None:
    who = {"user_name": "dora", "password": PASSWORD}
    async with stage.plays(server.url) as device:
        await device.does("register", who)
        await device.does("login", who)
        await device.does("start")
        await device.gets("online")
        await device.does("logout")

        assert (await device.gets("ended"))["reason"] is None
        with pytest.raises(ClientError) as out:
            await device.does("call", "GET", "v1/users/me")
        assert out.value.status == 401


@pytest.mark.parametrize(("socket", "reason"), [(True, 4502), (False, "session-revoked")])
async def test_a_session_that_ended_elsewhere_is_the_end(
    stage: Stage, alice: Person, socket: bool, reason: object
) -> None:
    async with alice.on_another_device() as other, stage.plays_for(other, socket=socket) as device:
        await device.gets("online")
        (await alice.asks("DELETE", "/v1/auth/sessions")).expecting(204)

        assert (await device.gets("ended"))["reason"] == reason
        with pytest.raises(ClientError):
            await device.does("start")


async def test_a_send_whose_ack_got_lost_is_stored_once(stage: Stage, proxy: Proxy, alice: Person, bob: Person) -> None:
    lunch = await alice.opens_chat("lunch", [bob])
    async with stage.plays_for(alice, proxy.url, pace=HURRY) as hers, stage.plays_for(bob) as his:
        await hers.gets("online")
        proxy.mood = Mood.SWALLOWING
        sending = hers.does("send", lunch, "pizza?", {"clientId": "k1"})
        await his.hears("new_message")  # stored, and she does not know
        assert not sending.done()
        proxy.mood = Mood.OPEN
        proxy.cut()
        message = await sending

        assert await texts(alice, lunch) == ["pizza?"]
        assert message["client_id"] == "k1"


async def test_the_order_of_sends_is_kept_over_lines_that_break(
    stage: Stage, proxy: Proxy, alice: Person, bob: Person
) -> None:
    lunch, dinner = await alice.opens_chat("lunch", [bob]), await alice.opens_chat("dinner", [bob])
    async with stage.plays_for(alice, proxy.url, pace=HURRY) as hers, stage.plays_for(bob) as his:
        sending = []
        for number in range(CUTS):
            await hers.gets("online")
            sending += [hers.does("send", chat, f"{number} {i}") for i in range(4) for chat in (lunch, dinner)]
            await sending[-4]
            before = len(hers.statuses)
            proxy.cut()
            await hers.is_lost(before)
        await asyncio.gather(*sending)
        await his.until(lambda: len(his.said) == 8 * CUTS, "last word")

        for chat in (lunch, dinner):
            expected = [f"{number} {i}" for number in range(CUTS) for i in range(4)]
            assert await texts(alice, chat) == expected
            assert [one["text"] for one in his.said if one["chat_id"] == chat] == expected


async def test_a_line_that_went_silent_is_noticed_and_nothing_is_missed(
    stage: Stage, proxy: Proxy, alice: Person, bob: Person
) -> None:
    lunch = await alice.opens_chat("lunch", [bob])
    async with stage.plays_for(alice, proxy.url, pace=IMPATIENT) as hers:
        await hers.gets("online")
        before = len(hers.statuses)
        proxy.mood = Mood.SILENT  # nobody hears of an end
        await says(bob, lunch, "pizza?")
        await hers.is_lost(before)
        proxy.mood = Mood.OPEN
        await hers.gets("online")
        await says(bob, lunch, "pizza!")
        await hers.until(lambda: len(hers.said) == 2, "both")

        assert [one["text"] for one in hers.said] == ["pizza?", "pizza!"]


async def test_a_line_that_is_only_quiet_is_kept(stage: Stage, alice: Person) -> None:
    async with stage.plays_for(alice, pace={"quiet": 50}) as device:
        await device.until(lambda: device.signs.count("pong") > 2, "answers")

        assert device.signs[0] == "resumed"
        assert [status["phase"] for status in device.statuses] == ["connecting", "updating", "online"]


async def test_a_send_without_an_answer_asks_whether_the_line_lives(stage: Stage, proxy: Proxy, alice: Person) -> None:
    diary = await alice.opens_chat("diary")
    async with stage.plays_for(alice, proxy.url, pace={**IMPATIENT, "quiet": 600_000}) as device:
        await device.gets("online")
        before = len(device.statuses)
        proxy.mood = Mood.SILENT
        sending = device.does("send", diary, "dear diary")
        await device.is_lost(before)
        proxy.mood = Mood.OPEN
        await sending

        assert await texts(alice, diary) == ["dear diary"]


async def test_where_no_socket_comes_through_it_polls_and_takes_the_socket_when_it_can(
    stage: Stage, proxy: Proxy, alice: Person, bob: Person
) -> None:
    lunch = await alice.opens_chat("lunch", [bob])
    proxy.is_dropping = True
    async with (
        stage.plays_for(alice, proxy.url, pace={"socketAgain": 200, "poll": 1}) as hers,
        stage.plays_for(bob) as his,
    ):
        await hers.gets("online")
        await says(bob, lunch, "pizza?")
        await hers.hears("new_message")
        await hers.does("send", lunch, "pizza!")
        assert await texts(bob, lunch) == ["pizza?", "pizza!"]
        assert hers.signs == []

        proxy.is_dropping = False
        await hers.until(lambda: "resumed" in hers.signs, "socket")
        await his.gets("online")
        await his.does("typing", lunch)
        await hers.hears("typing")
        assert [one["phase"] for one in hers.statuses].count("online") == 1  # nothing of it was felt


async def test_after_a_kill_it_comes_back_and_each_word_is_there_once_in_order(
    stage: Stage, dsn: str, tmp_path: Path, alice: Person, bob: Person
) -> None:
    lunch = await alice.opens_chat("lunch", [bob])
    process = await Process(tmp_path, {"DATABASE_URL": dsn, "SECRET_KEY": SECRET_KEY}).start().ready()
    try:
        async with stage.plays_for(alice, process.url, pace=HURRY) as hers:
            await hers.gets("online")
            sending = [hers.does("send", lunch, f"{number}") for number in range(SENDS)]
            await sending[SENDS // 4]
            process.kill()
            await hers.gets("offline")
            await says(bob, lunch, "are you there?")
            process.start()
            await asyncio.gather(*sending)
            await hers.gets("online")
            await hers.until(lambda: len(by_seq(hers.said)) > SENDS, "all")

            history = await texts(alice, lunch)
            assert [text for text in history if text.isdigit()] == [f"{number}" for number in range(SENDS)]
            assert sorted(by_seq(hers.said)) == list(range(1, SENDS + 2))
            assert [by_seq(hers.said)[seq] for seq in range(1, SENDS + 2)] == history
            assert hers.syncs == 1
    finally:
        process.kill()


async def test_a_server_that_stops_is_left_until_it_asks_to_come_back(
    stage: Stage, start: Callable[..., Awaitable[Server]], alice: Person
) -> None:
    server = await start()
    async with stage.plays_for(alice, server.url, pace=HURRY) as device:
        await device.gets("online")
        await server.runner.cleanup()

        await device.until(lambda: ("offline", DRAINING.code) in told(device), "pause that was asked for")


async def test_a_cursor_that_leads_nowhere_begins_with_a_new_sync(stage: Stage, alice: Person, bob: Person) -> None:
    async with stage.plays_for(alice, pace=HURRY) as hers, stage.plays_for(alice, socket=False) as poller:
        for device in (hers, poller):
            await device.gets("online")
            await device.does("forget")
        await hers.does("cut")
        lunch = await alice.opens_chat("lunch", [bob])  # ends the poll that is under way
        for device in (hers, poller):
            await device.until(lambda device=device: device.syncs == 2, "sync")
            await says(bob, lunch, "pizza?")
            await device.hears("new_message")
            assert [chat["chat_id"] for chat in (await device.does("state"))["chats"]] == [lunch]


async def test_of_a_chat_with_too_much_news_the_end_is_read(
    stage: Stage, alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "MOST_IN_A_CHAT", 3)
    lunch = await alice.opens_chat("lunch", [bob])
    async with stage.plays_for(alice, pace=HURRY) as device:
        await device.gets("online")
        cursor = (await device.does("state"))["cursor"]
        for number in range(5):
            await says(bob, lunch, f"{number}")
        await device.until(lambda: len(device.said) == 5, "words")
        await device.does("forget", cursor, lunch)
        await device.does("cut")
        await device.hears("limited", from_seq=1, to_seq=5)

        chat = (await device.does("state"))["chats"][0]
        assert (chat["last_message"]["text"], chat["unread"]) == ("4", 5)


async def test_sends_that_come_too_fast_are_stored_later_in_their_order(
    stage: Stage, start: Callable[..., Awaitable[Server]], alice: Person
) -> None:
    server = await start(THROTTLE_SEND="burst=1,rate=2/s")
    diary = await alice.opens_chat("diary")
    for socket in (True, False):
        async with stage.plays_for(alice, server.url, socket=socket, pace=HURRY) as device:
            await device.gets("online")
            await asyncio.gather(*(device.does("send", diary, f"{number}") for number in range(2)))

    assert await texts(alice, diary) == ["0", "1"] * 2


async def test_an_ack_may_be_ahead_of_the_events(stage: Stage, alice: Person, bob: Person) -> None:
    lunch = await alice.opens_chat("lunch", [bob])
    before = (await alice.get("/v1/sync")).json
    async with alice.connects() as hers, stage.plays(alice.server.url) as puppet:
        earlier = await says(bob, lunch, "pizza?")
        (await alice.changes(lunch, name="late lunch")).expecting(200)
        ack = {"type": "new_message", "chat_id": lunch, "own": True, "message": await says(alice, lunch, "pizza!")}
        events = [await hers.hears(kind) for kind in ("new_message", "chat_changed")]
        made = await puppet.does("rule", before, [ack, *events])

    chat = made["chats"][0]
    assert chat["last_message"]["text"] == "pizza!" != earlier["text"]
    assert (chat["head_seq"], chat["read_seq"], chat["unread"], chat["name"]) == (2, 2, 0, "late lunch")
    assert made["needed"] == [None] * 3


BURSTS, BURST = sized(80, least=10), 20


async def test_state_and_events_are_a_later_sync(
    stage: Stage, alice: Person, bob: Person, mallory: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three people do whatever comes to their mind; each has a device with a socket, which breaks, and one without."""
    seed = random.randrange(1 << 32)
    choice, people = random.Random(seed), (alice, bob, mallory)
    async with AsyncExitStack() as stack:
        devices = [
            (person, await stack.enter_async_context(stage.plays_for(person, socket=socket, pace=HURRY)))
            for person in people
            for socket in (True, False)
        ]
        doings = Doings(choice, devices)
        for burst in range(BURSTS):
            for _ in range(BURST):
                await doings.any()
            if burst % 2 == 1:  # also with a send on the way, and while it is away
                device = choice.choice(devices[::2])
                await asyncio.gather(doings.speak(device), device[1].does("cut"), *(doings.any() for _ in range(8)))

            await agree(devices, f"burst {burst} of seed {seed}")
        (await mallory.asks("DELETE", "/v1/users/me")).expecting(204)
        await agree(devices[:4], f"seed {seed}, without mallory")
    with capsys.disabled():
        print(f"\n{doings.done} of {doings.tried} doings were allowed")


async def agree(devices: Sequence[tuple[Person, Puppet]], about: str) -> None:
    """What every device has made of the events is what the server shows."""
    for person in {person.user_id: person for person, _ in devices}.values():
        (await person.asks("PATCH", "/v1/users/me", {"about": about})).expecting(200)
    for person, device in devices:
        await device.until(lambda device=device: has_heard(device, about), about)
        state, sync = await device.does("state"), (await person.get("/v1/sync")).expecting(200).json
        assert by_id(state["chats"]) == by_id(sync["chats"]), about
        assert state["user"] == sync["user"], about


def told(device: Puppet) -> list[tuple[str, object]]:
    return [(status["phase"], status["reason"]) for status in device.statuses]


def has_heard(device: Puppet, about: str) -> bool:
    return any(event["type"] == "user_changed" and event["user"]["about"] == about for event in device.events)


def by_id(chats: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {chat["chat_id"]: chat for chat in chats}


async def texts(person: Person, chat: str) -> list[str]:
    page = (await person.get(f"/v1/chats/{chat}/messages?limit=1000")).expecting(200).json
    return [message["text"] for message in page["messages"]]


def by_seq(messages: list[dict[str, Any]]) -> dict[int, str]:
    return {message["seq"]: message["text"] for message in messages}
