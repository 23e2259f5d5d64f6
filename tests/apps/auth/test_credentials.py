"""Who is asking: the header, access tokens, tickets, and what is open without any of them."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

pytestmark = pytest.mark.shared

ME, TICKET = "/v1/users/me", "/v1/auth/ws-ticket"
# A handshake is known by this header alone; the route behind it is of no matter here.
SOCKET = {"Upgrade": "websocket", "Connection": "Upgrade"}


async def asks(person, *values, path=ME, **options):
    """With exactly these lines of the header, and nothing else."""
    person.headers = {}
    lines = [("Authorization", value) for value in values]
    async with person.http.get(person.server.url + path, headers=lines, **options) as answer:
        return answer.status, (await answer.json()).get("code"), answer.headers


async def test_everything_under_v1_is_closed_known_or_not(server, nobody):
    routes = {
        (route.method, route.resource.canonical.replace("{user_id}", "1").replace("{session_id}", "1"))
        for route in server.runner.app.router.routes()
        if route.resource.canonical.startswith("/v1/") and not getattr(route.handler, "is_public", False)
    }
    assert len(routes) >= 14
    unknown = [("GET", path) for path in ["/v1", "/v1/", "/v1/nothing", "/v1/users/1/2", "/v1/auth"]]

    for method, path in [*sorted(routes), *unknown, ("POST", "/v1/users/me"), ("PUT", "/v1/nothing")]:
        answer = await nobody.asks(method, path)
        assert answer.status == 401, (method, path)
        assert answer.headers.getall("WWW-Authenticate") == ['session_id realm="messenger"', 'Bearer realm="messenger"']
    assert (await nobody.get(ME)).code == "auth-failed"


async def test_open_is_what_lets_one_in_and_unknown_paths_elsewhere_do_not_exist(alice, nobody):
    for path in ["/v1/auth/register", "/v1/auth/login", "/v1/auth/refresh"]:
        assert (await nobody.post(path, {})).status == 400
        assert (await nobody.get(path)).status == 405
    for path in ["/nothing", "/v2/users", "/v1x", "/login/more"]:
        assert (await nobody.get(path)).expecting(404).code == "not-found"
    for path in ["/v1/nothing", "/v1"]:
        assert (await alice.get(path)).expecting(404).code == "not-found"


async def test_the_header_takes_a_session_or_a_bearer_token_in_any_case(alice):
    session, access = alice.credentials["session_id"], alice.credentials["access_token"]

    for value in [f"session_id {session}", f"SESSION_ID   {session}", f"Bearer {access}", f"bearer {access}"]:
        assert (await asks(alice, value))[0] == 200, value


async def test_a_credential_that_is_there_but_bad_is_refused(alice):
    session, access = alice.credentials["session_id"], alice.credentials["access_token"]
    good = f"session_id {session}"
    bad = [
        ("",), ("session_id",), ("Bearer",), (session,), (f"Bearer {session}",), (f"session_id {access}",),
        (f"Basic {session}",), (f"session_id {session}0",), (f"session_id {session.upper()}x",), (good, good),
        (good, f"Bearer {access}"), (f"session_id {'0' * 32}",), ("session_id " + "x" * 4000,), (f"{good}, {good}",),
    ]  # fmt: skip

    for values in bad:
        status, code, headers = await asks(alice, *values)
        assert (status, code) == (401, "token-invalid"), values
        assert headers.getall("WWW-Authenticate") == ['session_id realm="messenger"', 'Bearer realm="messenger"']


async def test_header_and_word_are_settings(alice, start):
    server = await start(AUTH_HEADER="X-Session", AUTH_TOKEN_TYPE="Bearer")
    session, access = alice.credentials["session_id"], alice.credentials["access_token"]

    for value in [f"Bearer {session}", f"bearer {access}"]:
        assert (await alice.get(ME, server=server, headers={"X-Session": value})).status == 200
    assert (await alice.get(ME, server=server)).expecting(401).code == "auth-failed"


class TestForgedTokens:
    """Written by hand, not by the library that reads them."""

    @pytest.fixture
    def key(self, config):
        root = base64.urlsafe_b64decode(str(config.auth.secret_key))
        return HKDF(SHA256(), 32, salt=None, info=b"messenger access token").derive(root)

    @staticmethod
    def part(value):
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def sign(self, header, payload, key, how="sha256"):
        text = f"{self.part(header)}.{self.part(payload)}"
        return f"{text}.{self.part(hmac.digest(key, text.encode(), how))}"

    @staticmethod
    def opened(token):
        return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]

    async def refused(self, alice, token):
        status, code, _ = await asks(alice, f"Bearer {token}")
        return (status, code) == (401, "token-invalid")

    async def test_the_genuine_one_says_what_it_must_and_no_more(self, alice, key):
        header, payload = self.opened(alice.credentials["access_token"])

        assert (header["alg"], header["typ"], set(header)) == ("HS256", "JWT", {"alg", "typ", "kid"})
        assert set(payload) == {"exp", "iat", "sub", "sid", "aud", "iss", "typ"}
        assert payload["exp"] - payload["iat"] == 600
        assert (await asks(alice, f"Bearer {self.sign(header, payload, key)}"))[0] == 200

    async def test_another_algorithm_another_key_or_no_signature_opens_nothing(self, alice, key):
        token = alice.credentials["access_token"]
        header, payload = self.opened(token)
        body, signature = token.rsplit(".", 1)

        for word in ["none", "None", "NONE", "nOnE"]:
            bare = f"{self.part(header | {'alg': word})}.{self.part(payload)}"
            assert await self.refused(alice, f"{bare}.")
            assert await self.refused(alice, f"{bare}.{signature}")
        for forged in [
            self.sign(header | {"alg": "HS512"}, payload, key, "sha512"),
            self.sign(header | {"alg": "RS256"}, payload, key),
            self.sign(header, payload, b"k" * 32),
            self.sign(header, payload, Fernet.generate_key()),
            self.sign(header | {"kid": "0" * 16}, payload, key),
            self.sign(header | {"kid": 1}, payload, key),
            self.sign(header | {"kid": ["x"]}, payload, key),
            self.sign({"alg": "HS256", "typ": "JWT"}, payload, key),
            self.sign(header | {"crit": ["exp"]}, payload, key),
            f"{body}.",
            body,
            f"{body}.{signature[:-4]}AAAA",
            f"{self.part(header)}.{self.part(payload | {'sub': '999'})}.{signature}",
        ]:
            assert await self.refused(alice, forged), forged

    async def test_what_a_key_holder_would_never_say_opens_nothing_either(self, alice, bob, key):
        header, payload = self.opened(alice.credentials["access_token"])
        now = int(time.time())
        changes = [
            {"exp": str(now + 60)}, {"exp": now + 60.5}, {"exp": 10**20}, {"exp": True}, {"exp": None},
            {"exp": now + 86400}, {"iat": now + 300}, {"iat": "x"}, {"nbf": now + 300}, {"aud": "other"},
            {"aud": ["messenger"]}, {"iss": "other"}, {"typ": "refresh"}, {"sub": {"id": 1}}, {"sub": bob.user_id},
            {"sub": "0"}, {"sub": "-1"}, {"sub": "x" * 100}, {"sid": "999999"}, {"sid": 1}, {"sid": str(10**30)},
        ]  # fmt: skip

        for change in changes:
            assert await self.refused(alice, self.sign(header, payload | change, key)), change
        for name in payload:
            less = {other: value for other, value in payload.items() if other != name}
            assert await self.refused(alice, self.sign(header, less, key)), name
        assert await self.refused(alice, self.sign(header, [payload], key))
        assert await self.refused(alice, self.sign(header, b"\xff\xfe", key))
        assert await self.refused(alice, self.sign(b"[" * 500, payload, key))
        late = self.sign(header, payload | {"iat": now - 700, "exp": now - 100}, key)
        assert (await asks(alice, f"Bearer {late}"))[:2] == (401, "session-expired")

    async def test_what_is_no_token_at_all_is_refused(self, alice):
        token = alice.credentials["access_token"]
        for text in [".", "..", "....", f"{token}.x", f"{token}.x.y", "a.b", "!.!.!", "é.é.é", token + "=", "x" * 7000]:
            assert await self.refused(alice, text), text


class TestTickets:
    async def ticket(self, person):
        return (await person.post(TICKET)).expecting(200).json["ticket"]

    async def test_a_ticket_opens_one_socket(self, alice, nobody):
        ticket = await self.ticket(alice)

        assert (await asks(nobody, path=f"{ME}?ticket={ticket}"))[:2] == (401, "auth-failed")
        first = await nobody.get(f"{ME}?ticket={ticket}", headers=SOCKET)
        second = await nobody.get(f"{ME}?ticket={ticket}", headers=SOCKET)

        assert first.expecting(200).json["user_name"] == "alice"
        assert second.expecting(401).code == "token-invalid"

    async def test_of_twenty_who_show_one_ticket_one_gets_in(self, alice, nobody, start):
        servers, ticket = (alice.server, await start()), await self.ticket(alice)
        path = f"{ME}?ticket={ticket}"

        answers = await asyncio.gather(*(nobody.get(path, headers=SOCKET, server=servers[n % 2]) for n in range(20)))

        assert sorted(answer.status for answer in answers) == [200] + [401] * 19

    async def test_a_late_a_foreign_and_an_ended_ticket_open_nothing(self, alice, nobody, sql):
        late = await self.ticket(alice)
        await sql.execute("update ws_tickets set expires_at = now()")
        ended = await self.ticket(alice)
        digest = hashlib.sha256(ended.encode()).digest()
        left = "select expires_at - now() from ws_tickets where ticket_hash = $1"
        assert 25 < (await sql.fetchval(left, digest)).total_seconds() <= 30
        await alice.signs_out()

        for ticket, code in [(late, "token-invalid"), (ended, "session-revoked"), ("x" * 43, "token-invalid"),
                             ("", "token-invalid"), (alice.credentials["session_id"], "token-invalid"),
                             (alice.credentials["access_token"], "token-invalid")]:  # fmt: skip
            assert (await nobody.get(f"{ME}?ticket={ticket}", headers=SOCKET)).expecting(401).code == code

    async def test_a_bad_header_does_not_give_way_to_a_good_ticket(self, alice, nobody):
        ticket = await self.ticket(alice)
        bad = {"Authorization": "session_id " + "0" * 32}

        assert (await nobody.get(f"{ME}?ticket={ticket}", headers=SOCKET | bad)).expecting(401).code == "token-invalid"
        assert (await nobody.get(f"{ME}?ticket={ticket}", headers=SOCKET)).status == 200


async def test_a_test_rig_without_sign_in_lets_everybody_pass_but_no_bad_credential(alice, start):
    rig = await start(AUTH_DISABLED="true")
    alice.headers, credentials = {}, alice.headers

    assert (await alice.get("/v1/users", server=rig)).expecting(200).json["users"][0]["user_name"] == "alice"
    assert (await alice.get(ME, server=rig)).expecting(401).code == "auth-failed"
    assert (await alice.get(ME, server=rig, headers=credentials)).status == 200
    bad = {"Authorization": "session_id " + "0" * 32}
    assert (await alice.get("/v1/users", server=rig, headers=bad)).expecting(401).code == "token-invalid"
    assert (await alice.get("/v1/nothing", server=rig)).expecting(404).code == "not-found"
