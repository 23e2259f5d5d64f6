"""The examples that people were given, sent as they are printed: `curl -XPOST … -H … -d …`."""

import re

from tests.actors import Person

JSON = {"Content-Type": "application/json"}
SOME_USER = b'{"user_name": "some user", "password": "pass"}'


async def test_the_lines_for_registering_signing_in_and_out_work_as_printed(nobody: Person) -> None:
    register = await nobody.asks("POST", "/v1/auth/register", data=SOME_USER, headers=JSON)
    login = await nobody.asks("POST", "/v1/auth/login", data=SOME_USER, headers=JSON)
    session = {"Authorization": f"session_id {login.expecting(200).json['session_id']}"}
    inside = await nobody.asks("GET", "/v1/users/me", headers=session)
    logout = await nobody.asks("POST", "/v1/auth/logout", headers=session)

    assert register.status == 201
    assert re.fullmatch("[0-9a-f]{32}", login.json["session_id"])
    assert inside.expecting(200).json["user_name"] == "some user"
    assert logout.status == 200
    assert (await nobody.asks("GET", "/v1/users/me", headers=session)).expecting(401).code == "session-revoked"
