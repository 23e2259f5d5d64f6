"""The doctor's look at the queues of search tasks: each is kept on several nodes, and on which knows the management
plugin alone.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp

from messenger.apps.search.engines.broker import DEAD, QUEUE, REPLICAS
from messenger.run.admin.finding import PATIENCE, Finding

ABOVE = 10_000  # the ports of AMQP and of the plugin lie so far apart, unless somebody has chosen others
SECURE = 5671


async def ask_queues(urls: Sequence[str]) -> AsyncIterator[Finding]:
    """Nothing to say of a single node: it has all there is."""
    for url in urls if len(urls) > 1 else ():
        try:
            nodes, queues = await _look(url)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            continue
        for name in (QUEUE, DEAD):
            yield _members(name, queues.get(name), nodes)
        return
    if len(urls) > 1:
        yield Finding("queues", True, "not looked at: no node's management plugin answers")


def _members(name: str, queue: dict[str, Any] | None, nodes: list[str]) -> Finding:
    if queue is None:
        return Finding("queues", True, f"{name} is declared at the first start")
    members, online = queue.get("members", []), queue.get("online", [])
    if len(members) < min(REPLICAS, len(nodes)):
        missing = sorted(set(nodes) - set(members))
        remedy = f"rabbitmq-queues grow {missing[0]} all" if missing else "Let the other nodes join"
        return Finding("queues", False, f"{name} is on {len(members)} of {len(nodes)} nodes", remedy)
    if away := sorted(set(members) - set(online)):
        return Finding("queues", False, f"{name}: {', '.join(away)} away", "Start that node")
    return Finding("queues", True, f"{name} is on {len(members)} nodes")


async def _look(url: str) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """The nodes of the cluster, and its queues by name."""
    parts = urlsplit(url)
    secure = parts.scheme == "amqps"
    port = (parts.port or (SECURE if secure else SECURE + 1)) + ABOVE
    base = f"http{'s' * secure}://{parts.hostname}:{port}/api"
    host = quote(unquote(parts.path[1:]) or "/", safe="")
    account = aiohttp.encode_basic_auth(unquote(parts.username or "guest"), unquote(parts.password or "guest"))
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(headers={"Authorization": account}, timeout=timeout) as http:
        async with http.get(f"{base}/nodes?columns=name", raise_for_status=True) as answer:
            nodes = [one["name"] for one in await answer.json()]
        async with http.get(f"{base}/queues/{host}", raise_for_status=True) as answer:
            return nodes, {one["name"]: one for one in await answer.json()}
