"""Who may open a socket: everything is refused before the upgrade, as any request is."""

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest

from messenger.log.replay import Subscription
from messenger.web.app_keys import LOG
from tests.actors import Person
from tests.sockets import Refused

pytestmark = pytest.mark.shared


@pytest.fixture
def settings() -> dict[str, str]:
    return {"MAX_SOCKETS_PER_USER": "3"}


async def refusal(person: Person, **options) -> Refused:
    with pytest.raises(Refused) as refused:
        async with person.connects(**options):
            pass
    return refused.value


async def ticket(person: Person) -> str:
    return (await person.post("/v1/auth/ws-ticket")).expecting(200).json["ticket"]


async def cookie(person: Person) -> dict[str, str]:
    body = {"user_name": person.name, "password": "correct horse"}
    found = (await person.post("/v1/auth/login", body, headers={"Authorization": ""})).cookies
    return {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in found.items()), "Authorization": ""}


def only(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if value}


async def test_a_header_opens_a_socket_that_says_who_it_is_for(alice):
    async with alice.connects() as socket:
        assert socket.hello["protocol"] == "messenger.v1"
        assert socket.hello["limits"] == {"frame_bytes": 65536, "under_way": 100}
        assert socket.ready["user"] == {"user_id": alice.user_id}
        assert socket.ws.protocol == "messenger.v1"
        sessions = (await alice.get("/v1/auth/sessions")).json["sessions"]
        assert socket.ready["session_id"] == next(str(one["id"]) for one in sessions if one["current"])


async def test_who_offers_no_protocol_gets_none_named(alice):
    async with alice.connects(protocols=()) as socket:
        assert socket.ws.protocol is None
        assert await socket.asks("ping") == {}


async def test_an_access_token_opens_a_socket(alice):
    async with alice.connects(headers={"Authorization": f"Bearer {alice.credentials['access_token']}"}) as socket:
        assert socket.ready["user"] == {"user_id": alice.user_id}


async def test_a_cookie_opens_a_socket_from_a_page_of_ours_only(server, nobody, alice):
    brought = only(await cookie(alice))
    own = server.url

    async with nobody.connects(headers={**brought, "Origin": own}) as socket:
        assert socket.ready["user"] == {"user_id": alice.user_id}
    for origin in ("https://evil.example", "null", own + ".evil.example", own.replace("127", "x127")):
        refused = await refusal(nobody, headers={**brought, "Origin": origin})
        assert (refused.status, refused.code) == (403, "origin-not-allowed"), origin


async def test_a_ticket_opens_one_socket_and_no_second_one(alice, nobody):
    first = await ticket(alice)

    async with nobody.connects(ticket=first) as socket:
        assert socket.ready["user"] == {"user_id": alice.user_id}
    assert (await refusal(nobody, ticket=first)).code == "token-invalid"


async def test_no_line_of_the_log_repeats_a_ticket_or_a_token_of_the_query(alice, nobody, caplog):
    caplog.set_level(logging.DEBUG)
    shown, token = await ticket(alice), alice.credentials["access_token"]

    async with nobody.connects(ticket=shown) as socket:
        await socket.asks("ping")
    await refusal(nobody, ticket=shown)
    (await nobody.get(f"/v1/ws?token={token}")).expecting(401)

    ours = [record for record in caplog.records if record.name.startswith(("messenger", "aiohttp"))]
    said = "\n".join(f"{record.getMessage()} {vars(record)}" for record in ours)
    assert "/v1/ws" in said
    assert shown not in said
    assert token not in said


async def test_of_many_who_show_a_ticket_at_once_one_comes_in(server, alice, nobody):
    shown = await ticket(alice)
    url = f"{server.url}/v1/ws?ticket={shown}"

    async def knock() -> int:
        try:
            ws = await nobody.http.ws_connect(url)
        except Exception as error:
            return error.status
        await ws.close()
        return 101

    statuses = await asyncio.gather(*(knock() for _ in range(8)))

    assert sorted(statuses) == [101] + [401] * 7


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "auth-failed"),
        ({"Authorization": "session_id " + "0" * 32}, "token-invalid"),
        ({"Authorization": "Bearer not.a.token"}, "token-invalid"),
        ({"Authorization": ""}, "token-invalid"),
    ],
)
async def test_without_good_credentials_there_is_no_upgrade(nobody, headers, code):
    refused = await refusal(nobody, headers=headers)

    assert (refused.status, refused.code) == (401, code)


async def test_long_lived_tokens_do_not_open_sockets_from_the_query_string(server, alice, nobody):
    for name, value in (
        ("token", alice.credentials["access_token"]),
        ("access_token", alice.credentials["access_token"]),
        ("session_id", alice.credentials["session_id"]),
        ("ticket", alice.credentials["access_token"]),
    ):
        answer = await nobody.get(f"/v1/ws?{name}={value}", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
        assert answer.status == 401, name


async def test_an_ended_session_opens_nothing(alice):
    await alice.signs_out()

    refused = await refusal(alice)

    assert (refused.status, refused.code) == (401, "session-revoked")


async def test_without_an_upgrade_the_path_says_what_it_speaks(alice):
    answer = await alice.get("/v1/ws")

    assert (answer.status, answer.code) == (400, "bad-parameters")


async def test_one_person_has_so_many_connections_and_no_more(alice, bob):
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(alice.connects())
        await stack.enter_async_context(alice.streams())

        refused = await refusal(alice)
        assert (refused.status, refused.code) == (429, "request-limit-exceeded")
        assert (await alice.get("/v1/events")).status == 429
        await stack.enter_async_context(bob.connects())  # that is hers, not his

    async with alice.connects() as socket:
        assert await socket.asks("ping") == {}


async def test_many_upgrades_at_once_do_not_pass_the_limit(server, alice):
    async def knock():
        try:
            return await alice.http.ws_connect(server.url + "/v1/ws", headers=alice.headers)
        except Exception as error:
            return error.status

    found = await asyncio.gather(*(knock() for _ in range(12)))

    sockets = [one for one in found if not isinstance(one, int)]
    for socket in sockets:
        await socket.close()
    assert len(sockets) == 3
    assert {one for one in found if isinstance(one, int)} == {429}


async def test_a_session_that_ends_during_the_upgrade_gets_no_socket(alice, monkeypatch):
    """After the request was let in and before the socket listens: nobody would ever tell it."""
    stream, attach = alice.server.runner.app[LOG], Subscription.attach

    async def attach_late(self):
        await alice.signs_out()
        await stream.barrier()
        return await attach(self)

    monkeypatch.setattr(Subscription, "attach", attach_late)

    async with alice.http.ws_connect(alice.server.url + "/v1/ws", headers=alice.headers) as socket:
        async with asyncio.timeout(5):
            frames = [frame.data async for frame in socket]

    assert (frames, socket.close_code) == ([], 4502)
