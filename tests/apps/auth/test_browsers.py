"""The session cookie, and pages that would borrow it."""

import json
import time

import pytest
from cryptography.fernet import Fernet

from messenger.apps.auth.cookies import SECURE_NAME
from tests.actors import PASSWORD

pytestmark = pytest.mark.shared

ME, LOGIN, LOGOUT = "/v1/users/me", "/v1/auth/login", "/v1/auth/logout"
SOCKET = {"Upgrade": "websocket", "Connection": "Upgrade"}


@pytest.fixture
async def cookie(alice):
    """Alice's browser: she carries a cookie and nothing else."""
    login = await alice.signs_in()
    alice.headers = {}
    return {"Cookie": f"messenger={login.cookies['messenger'].value}"}


async def test_the_cookie_of_a_login_opens_what_the_session_opens(alice, cookie):
    assert (await alice.get(ME, headers=cookie)).expecting(200).json["user_name"] == "alice"


async def test_no_script_reads_the_cookie_and_no_other_site_sends_it(alice):
    morsel = (await alice.signs_in()).cookies["messenger"]

    assert morsel["httponly"] and morsel["samesite"] == "Lax" and morsel["path"] == "/"
    assert not morsel["domain"] and not morsel["secure"]
    assert int(morsel["max-age"]) == 90 * 24 * 3600
    assert alice.credentials["session_id"] not in morsel.value


class TestOverTls:
    @pytest.fixture
    def settings(self):
        return {"COOKIE_SECURE": "true"}

    async def test_the_name_of_the_cookie_binds_it_to_this_host(self, alice):
        login = await alice.signs_in()
        morsel = login.cookies[SECURE_NAME]

        assert SECURE_NAME == "__Host-messenger" and morsel["secure"] and morsel["path"] == "/" and not morsel["domain"]
        alice.headers = {"Cookie": f"{SECURE_NAME}={morsel.value}"}
        assert (await alice.get(ME)).status == 200
        cleared = (await alice.post(LOGOUT)).expecting(200).cookies[SECURE_NAME]
        assert cleared.value == "" and cleared["max-age"] == "0" and cleared["secure"] and cleared["path"] == "/"


async def test_a_cookie_that_opens_nothing_is_refused_and_taken_back(alice, cookie, start, config):
    value = cookie["Cookie"].removeprefix("messenger=")
    middle = len(value) // 2
    flipped = value[:middle] + ("A" if value[middle] != "A" else "B") + value[middle + 1 :]
    foreign = Fernet(Fernet.generate_key()).encrypt(b'{"session": {"session_id": "x"}}').decode()
    ours = Fernet(str(config.auth.secret_key))
    odd = [ours.encrypt(text).decode() for text in (b"[]", b"1", b"{}", b"\xff", b'{"session": 1}', b'{"session": {}}',
                                                   b'{"session": {"session_id": 7}, "created": "x"}')]  # fmt: skip
    nobodys = {"created": int(time.time()), "session": {"session_id": "0" * 32}}
    dead = ours.encrypt(json.dumps(nobodys).encode()).decode()

    for bad in ["", "x", value[:-9], flipped, foreign, "A" * 5000, *odd, dead]:
        answer = await alice.get(ME, headers={"Cookie": f"messenger={bad}"})
        assert answer.expecting(401).code == "token-invalid", bad
        assert answer.cookies["messenger"].value == "" and answer.cookies["messenger"]["max-age"] == "0", bad
    assert (await alice.get(ME, headers=cookie)).status == 200


async def test_a_copied_cookie_dies_with_its_session(alice, cookie):
    left = (await alice.post(LOGOUT, headers=cookie)).expecting(200)

    assert left.cookies["messenger"].value == ""
    again = await alice.get(ME, headers=cookie)
    assert again.expecting(401).code == "session-revoked"
    assert again.cookies["messenger"].value == ""


async def test_a_cookie_outlives_a_change_of_keys(alice, cookie, start, config):
    rotated = await start(SECRET_KEY=f"{Fernet.generate_key().decode()},{config.auth.secret_key}")
    replaced = await start(SECRET_KEY=Fernet.generate_key().decode())

    assert (await alice.get(ME, headers=cookie, server=rotated)).status == 200
    assert (await alice.get(ME, headers=cookie, server=replaced)).expecting(401).code == "token-invalid"


async def test_a_header_counts_before_the_cookie_even_when_it_is_bad(alice, bob, cookie):
    assert (await bob.get(ME, headers=cookie)).json["user_name"] == "bob"
    bad = {"Authorization": "session_id " + "0" * 32}
    answer = await alice.get(ME, headers=cookie | bad)

    assert answer.expecting(401).code == "token-invalid"
    assert "Set-Cookie" not in answer.headers


async def test_a_login_gives_a_browser_a_new_session_and_ends_the_one_it_had(alice, cookie):
    again = await alice.post(LOGIN, {"user_name": "alice", "password": PASSWORD}, headers=cookie)

    assert again.expecting(200).cookies["messenger"].value != cookie["Cookie"].removeprefix("messenger=")
    assert (await alice.get(ME, headers=cookie)).expecting(401).code == "session-revoked"


async def test_a_planted_cookie_does_not_become_its_victims(mallory, alice):
    planted = (await mallory.signs_in()).cookies["messenger"].value
    sent = {"Cookie": f"messenger={planted}", "Authorization": mallory.headers["Authorization"]}

    login = await alice.post(LOGIN, {"user_name": "alice", "password": PASSWORD}, headers=sent)

    assert login.expecting(200).json["session_id"] != mallory.credentials["session_id"]
    assert login.cookies["messenger"].value != planted
    alice.headers = {}
    assert (await alice.get(ME, headers={"Cookie": f"messenger={planted}"})).json["user_name"] == "mallory"


def origins(server):
    host = server.url.removeprefix("http://")
    own = [{"Origin": server.url}, {"Origin": f"https://{host}"}, {"Origin": server.url.upper()}, {}]
    own += [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
    foreign = ["https://evil.example", "null", "", f"{server.url}.evil.example", f"http://evil.example#{host}"]
    foreign += [f"http://{host}@evil.example", "http://127.0.0.1", "http://localhost:1", f"{server.url}0", "http://["]
    foreign += [f"ftp://{host}", host, f"{server.url}/", f"x{server.url}"]
    cross = [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
    return own, [{"Origin": origin} for origin in foreign] + cross


async def test_a_cookie_speaks_only_for_pages_of_this_host(alice, cookie, server):
    own, foreign = origins(server)

    for headers in own:
        assert (await alice.asks("PATCH", ME, {"about": "x"}, headers=cookie | headers)).status == 200, headers
    for headers in foreign:
        for method, path in [("PATCH", ME), ("POST", LOGOUT), ("DELETE", "/v1/auth/sessions"), ("DELETE", ME)]:
            answer = await alice.asks(method, path, {}, headers=cookie | headers)
            assert answer.expecting(403).code == "csrf-failed", headers
        assert (await alice.get(ME, headers=cookie | headers)).status == 200, headers


async def test_a_header_speaks_for_itself_wherever_the_page_is_from(alice):
    evil = {"Origin": "https://evil.example"}

    assert (await alice.asks("PATCH", ME, {"about": "x"}, headers=evil)).status == 200


async def test_no_foreign_page_signs_its_visitor_in(alice, cookie, server):
    _, foreign = origins(server)
    form = {"username": "alice", "password": PASSWORD}

    for headers in foreign:
        for sent in [headers, headers | cookie]:
            by_form = await alice.asks("POST", "/login", data=form, headers=sent)
            by_json = await alice.post(LOGIN, {"user_name": "alice", "password": PASSWORD}, headers=sent)
            new = await alice.post("/v1/auth/register", {"user_name": "eve", "password": PASSWORD}, headers=sent)
            link = await alice.post("/v1/auth/link", {"token": "x" * 43}, headers=sent)
            for answer in (by_form, by_json, new, link):
                assert answer.expecting(403).code == "csrf-failed"
                assert "Set-Cookie" not in answer.headers


async def test_no_foreign_page_opens_a_socket_with_the_cookie(alice, cookie, server):
    own, foreign = origins(server)

    for headers in own:
        assert (await alice.get(ME, headers=SOCKET | cookie | headers)).status == 200, headers
    for headers in foreign:
        answer = await alice.get(ME, headers=SOCKET | cookie | headers)
        assert answer.expecting(403).code == "origin-not-allowed", headers


async def test_a_named_origin_is_ours(alice, cookie, start):
    server = await start(CORS_ORIGINS="https://chat.example, https://Other.example/")

    for origin, status in [("https://chat.example", 200), ("https://other.example", 200), ("https://evil.example", 403),
                           ("http://chat.example", 403), ("https://chat.example:8443", 403)]:  # fmt: skip
        answer = await alice.asks("PATCH", ME, {"about": "x"}, headers=cookie | {"Origin": origin}, server=server)
        assert answer.status == status, origin
