"""The HTTP edge of accounts and sessions: parse, one call, reply."""

from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from messenger.apps.auth import service, sessions
from messenger.apps.auth.context import AUTH
from messenger.apps.auth.middleware import COOKIE
from messenger.apps.auth.schemas import (
    LONGEST_KEY,
    LONGEST_NAME,
    LinkSignIn,
    PasswordChange,
    ProfileChange,
    Refresh,
    Registration,
    SignIn,
)
from messenger.apps.auth.values import SignedIn
from messenger.errors import BadParameters, NotFound, UserNotFound
from messenger.identity import SessionId, UserId
from messenger.web import body, paging, reply
from messenger.web.access import me, public
from messenger.web.clients import caller_of
from messenger.web.kept import keep
from messenger.web.origins import refuse_foreign_page

routes = web.RouteTableDef()

SECRET = {"Cache-Control": "no-store"}  # answers that carry credentials
PAGE, LONGEST_PAGE = 50, 100


@routes.post("/v1/auth/register")
@public
async def register(request: web.Request) -> web.Response:
    refuse_foreign_page(request)
    wanted = await body.read(request, Registration)
    made = await service.register(request.app[AUTH], wanted, caller_of(request))
    return reply.json(
        {"user_id": str(made.user_id), "user_name": made.name, "login": made.name, "email": made.email}, status=201
    )


@routes.post("/v1/auth/login")
@public
async def login(request: web.Request) -> web.Response:
    wanted = await body.read(request, SignIn)
    signed_in = await _sign_in(request, wanted)
    return await _with_cookie(request, signed_in, signed_in.as_answer())


@routes.post("/v1/auth/link")
@public
async def login_by_link(request: web.Request) -> web.Response:
    refuse_foreign_page(request)
    wanted = await body.read(request, LinkSignIn)
    browser = await request.app[COOKIE].open(request)
    signed_in = await service.login_by_link(
        request.app[AUTH], wanted.token, wanted.device, caller_of(request), browser=browser
    )
    return await _with_cookie(request, signed_in, signed_in.as_answer())


@routes.post("/login")
@public
async def form_login(request: web.Request) -> web.Response:
    """The token URL of OAuth's password flow, and of older clients; ids are numbers here."""
    wanted = body.convert(_form_or_json(await body.read_bytes(request)), SignIn)
    signed_in = await _sign_in(request, wanted)
    return await _with_cookie(request, signed_in, {**signed_in.as_answer(), "user_id": signed_in.user_id})


@routes.post("/v1/auth/refresh")
@public
async def refresh(request: web.Request) -> web.Response:
    wanted = await body.read(request, Refresh)
    pair = await sessions.refresh(request.app[AUTH], wanted.refresh_token, caller_of(request))
    return reply.json(pair.as_answer(), headers=SECRET)


@routes.post("/v1/auth/logout")
async def logout(request: web.Request) -> web.Response:
    await sessions.logout(request.app[AUTH], me(request), caller_of(request))
    return _without_cookie(request, reply.json({"message": "You are signed out."}))


@routes.get("/v1/auth/sessions")
async def list_sessions(request: web.Request) -> web.Response:
    found = await sessions.list_open(request.app[AUTH], me(request))
    current = me(request).session_id
    return reply.json({"sessions": [one.as_seen_from(current) for one in found]})


@routes.delete("/v1/auth/sessions/{session_id}")
async def end_session(request: web.Request) -> web.Response:
    session_id = SessionId(paging.path_id(request, "session_id", NotFound))
    await sessions.end_one(request.app[AUTH], me(request), session_id, caller_of(request))
    answer = reply.nothing()
    return _without_cookie(request, answer) if session_id == me(request).session_id else answer


@routes.delete("/v1/auth/sessions")
async def end_other_sessions(request: web.Request) -> web.Response:
    await sessions.end_others(request.app[AUTH], me(request), caller_of(request))
    return reply.nothing()


@routes.post("/v1/auth/password")
async def change_password(request: web.Request) -> web.Response:
    wanted = await body.read(request, PasswordChange)
    await service.change_password(
        request.app[AUTH], me(request), wanted.current_password, wanted.new_password, caller_of(request)
    )
    return reply.nothing()


@routes.post("/v1/auth/ws-ticket")
async def issue_ticket(request: web.Request) -> web.Response:
    ticket = await sessions.issue_ticket(request.app[AUTH], me(request))
    return reply.json({"ticket": ticket, "expires_in": sessions.TICKET_TTL})


@routes.get("/v1/users/me")
async def show_me(request: web.Request) -> web.Response:
    profile = await service.profile(request.app[AUTH], me(request).user_id)
    keep(request)
    return reply.fresh(request, profile.as_own())


@routes.patch("/v1/users/me")
async def change_me(request: web.Request) -> web.Response:
    wanted = await body.read(request, ProfileChange)
    profile = await service.change_profile(request.app[AUTH], me(request), wanted)
    return reply.json(profile.as_own())


@routes.delete("/v1/users/me")
async def delete_me(request: web.Request) -> web.Response:
    await service.delete_account(request.app[AUTH], me(request), caller_of(request))
    return _without_cookie(request, reply.nothing())


@routes.get("/v1/users")
async def find_people(request: web.Request) -> web.Response:
    given = paging.query(request, ("query", "limit", "from"))
    limit = paging.whole_number(given, "limit", PAGE, least=1, most=LONGEST_PAGE)
    piece, start = _within(given, "query", LONGEST_NAME), _within(given, "from", LONGEST_KEY)
    page = await service.find_people(request.app[AUTH], piece, start=start, limit=limit)
    people = [profile.as_seen() for profile in page.people]
    return reply.json({"users": people, "next": {"iterator": page.next_key}})


@routes.get("/v1/users/{user_id}")
async def show_user(request: web.Request) -> web.Response:
    user_id = UserId(paging.path_id(request, "user_id", UserNotFound))
    profile = await service.profile(request.app[AUTH], user_id)
    return reply.fresh(request, profile.as_seen())


async def _sign_in(request: web.Request, wanted: SignIn) -> SignedIn:
    # Otherwise a foreign page could sign its visitor in as another person.
    refuse_foreign_page(request)
    browser = await request.app[COOKIE].open(request)
    return await service.login(
        request.app[AUTH], wanted.name, wanted.password, wanted.device, caller_of(request), browser=browser
    )


async def _with_cookie(request: web.Request, signed_in: SignedIn, answer: dict[str, Any]) -> web.Response:
    response = reply.json(answer, headers=SECRET)
    await request.app[COOKIE].put(request, response, signed_in.session_token)
    return response


def _without_cookie(request: web.Request, answer: web.Response) -> web.Response:
    if request.app[COOKIE].is_in(request):
        request.app[COOKIE].clear(answer)
    return answer


def _form_or_json(raw: bytes) -> dict[str, Any]:
    """Told apart by the first character, as clients are careless with Content-Type."""
    if not raw.strip() or raw.lstrip().startswith((b"{", b"[", b'"')):
        return body.parse(raw)
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError:
        raise BadParameters("The body is neither JSON nor a form.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise BadParameters("The form names a field twice.")
    if any("\x00" in text for text in form.values()):
        raise BadParameters("The form holds characters that are not text.")
    return form


def _within(given: dict[str, str], name: str, longest: int) -> str:
    text = given.get(name, "")
    if len(text) > longest:
        raise paging.bad_parameter(name, f"must have at most {longest} characters")
    return text
