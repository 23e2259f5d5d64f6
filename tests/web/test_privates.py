"""The private parts of aiohttp that the guard and the sockets lean on, all of them by name (docs/dependencies.md)."""

import ast
import inspect
import re

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_protocol import RequestHandler

from messenger.web import ready, server, stalls
from messenger.web.sockets import takeover

LEANT_ON = {
    BaseProtocol: {"_loop"},
    RequestHandler: {
        "_current_request",
        "_handler_waiter",
        "_manager",
        "_messages",
        "_request_count",
        "_request_in_progress",
        "_task_handler",
        "_waiter",
    },
    web.Server: {"_kwargs"},
    web.AppRunner: {"_app", "_make_server"},
    web.BaseSite: {"_server"},
    web.WebSocketResponse: {"_req"},
}


def test_what_is_leant_on_is_there_and_is_all():
    modules = (server, stalls, ready, takeover)
    nodes = [node for module in modules for node in ast.walk(ast.parse(inspect.getsource(module)))]
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}  # slots

    for part, names in LEANT_ON.items():
        known = set(re.findall(r"\b_[a-z]\w*", inspect.getsource(part)))
        assert names <= known, f"aiohttp's {part.__name__} has changed: {names - known}"
        assert names <= used, f"no longer needed of {part.__name__}: {names - used}"
        new = (used & known) - own - set().union(*LEANT_ON.values())
        assert not new, f"leant on as well: {new}"


def test_a_socket_is_handed_to_us_as_before():
    assert list(inspect.signature(web.WebSocketResponse._post_start).parameters) == [
        "self", "request", "protocol", "writer"
    ]  # fmt: skip
