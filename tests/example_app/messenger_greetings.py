"""Greetings: what it takes to add something to the messenger from outside of it."""

from aiohttp import web

from messenger.subapp import SubApp
from messenger.web import reply
from messenger.web.access import public

routes = web.RouteTableDef()


@routes.get("/greetings/{name}")
@public
async def greet(request: web.Request) -> web.Response:
    return reply.json({"greeting": f"Hello, {request.match_info['name']}!"})


app = SubApp(name="greetings", routes=routes, after=["auth"])
