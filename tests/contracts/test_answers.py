"""The judge of all answers is strict, and the contract's own examples stand before it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from multidict import CIMultiDict

from tests.contract import CONTRACT, POLICY, SAFETY

PROBLEM = {
    "type": "/docs/errors#not-found",
    "title": "There is nothing here",
    "status": 404,
    "code": "not-found",
    "detail": "There is nothing here.",
    "message": "There is nothing here.",
    "request_id": "r1",
}


def judged(method: str, path: str, status: int, body: Any, **headers: str) -> None:
    media = "application/problem+json" if status >= 400 else "application/json"
    sent = CIMultiDict({**SAFETY, "Content-Security-Policy": POLICY, "X-Request-ID": "r1", "Content-Type": media})
    sent["Cache-Control"] = "no-store"
    sent.update({name.replace("_", "-"): value for name, value in headers.items()})
    CONTRACT.check(method, path, status, sent, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_what_is_described_passes() -> None:
    judged("GET", "/ping", 200, {"message": "pong"})
    judged("GET", "/ping/?now=1", 200, {"message": "pong"})
    judged("HEAD", "/ping", 200, b"")
    judged("GET", "/nowhere", 404, PROBLEM)


PLANTED: dict[str, tuple[str, Callable[[], None]]] = {
    "a status": ("is not described", lambda: judged("GET", "/ping", 202, {"message": "pong"})),
    "a success of an unknown path": ("is not described", lambda: judged("GET", "/nowhere", 200, {})),
    "a field more": ("Additional properties", lambda: judged("GET", "/ping", 200, {"message": "pong", "user": 1})),
    "a field less": ("required property", lambda: judged("GET", "/ping", 200, {})),
    "a wrong type": ("is not of type", lambda: judged("GET", "/ping", 200, {"message": 1})),
    "a media type": ("is not described", lambda: judged("GET", "/ping", 200, b"pong", Content_Type="text/plain")),
    "a header's value": ("Cache-Control", lambda: judged("GET", "/ping", 200, {"message": "pong"}, Cache_Control="")),
    "an id of no request": ("X-Request-ID", lambda: judged("GET", "/ping", 200, {"message": "pong"}, X_Request_ID="")),
    "a header for safety": ("nosniff", lambda: judged("GET", "/ping", 200, {}, X_Content_Type_Options="")),
    "a policy": ("policy", lambda: judged("GET", "/ping", 200, {}, Content_Security_Policy="default-src *")),
    "another form of refusal": ("Additional properties", lambda: judged("GET", "/nowhere", 404, {"error": "no"})),
    "another status inside": ("speaks of", lambda: judged("GET", "/nowhere", 404, {**PROBLEM, "status": 400})),
    "another code inside": ("type is", lambda: judged("GET", "/nowhere", 404, {**PROBLEM, "code": "forbidden"})),
    "a code that is none": ("is not one of", lambda: judged("GET", "/nowhere", 404, {**PROBLEM, "code": "oops"})),
    "another request's id": ("request_id", lambda: judged("GET", "/nowhere", 404, {**PROBLEM, "request_id": "r2"})),
    "no way to sign in": ("WWW-Authenticate", lambda: judged("GET", "/v1/x", 401, {**PROBLEM, "status": 401})),
    "a refusal without a time to come back": (
        "Retry-After",
        lambda: judged("GET", "/ping_db", 503, {**PROBLEM, "status": 503}),
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_not_described_is_reported(planted: str) -> None:
    complaint, answer = PLANTED[planted]

    with pytest.raises(AssertionError, match=complaint):
        answer()


def test_every_example_is_an_example_of_its_schema() -> None:
    examined = 0
    for name, schema in CONTRACT.inlined(CONTRACT.document["components"]["schemas"]).items():
        for example in schema.get("examples", []):
            errors = [error.message for error in Draft202012Validator(schema).iter_errors(example)]
            assert errors == [], f"{name}: {errors}"
            examined += 1
    assert examined >= 25


def test_what_goes_out_has_no_room_for_more_and_what_comes_in_has() -> None:
    incoming = {"Registration", "SignIn", "LinkSignIn", "TokenForm", "Refresh", "PasswordChange", "ProfileChange"}
    incoming |= {"NewMessage", "NewText", "ReadMark", "NewSearch"}
    incoming |= {"ClassicRegistration", "ClassicSignIn", "ClassicNewMessage"}
    incoming |= {"NewChat", "NewGroup", "NewUserName", "ChatChange", "NewMembers", "NewRole"}
    for name, schema in CONTRACT.document["components"]["schemas"].items():
        if schema.get("type") == "object":
            assert schema.get("additionalProperties", True) is (name in incoming), name
