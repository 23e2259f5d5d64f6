"""What a sub-app may contribute, and the one order in which all of them are installed.

A sub-app is a value named `app` in the front door of its package. Own ones live in `messenger/apps`, others are
found by the entry-point group `messenger.apps`; what is not listed in Config.apps is not imported.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from messenger import ENTRY_POINTS
from messenger.log.entries import Entry, Fields

# Makes the events of many entries of one kind, as things are now.
EventRenderer = Callable[[web.Application, Sequence[Entry]], Awaitable[Sequence[Fields]]]


OWN = "messenger"  # the origin of what comes with it


class ArrangementError(Exception):
    """The listed sub-apps cannot work together; the text says how to correct the list."""


@dataclass(frozen=True, slots=True)
class SubApp:
    name: str
    routes: Iterable[web.AbstractRouteDef] = ()
    middlewares: Sequence[Middleware] = ()
    contexts: Sequence[Callable[[web.Application], AsyncIterator[None]]] = ()
    commands: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    event_renderers: Mapping[str, EventRenderer] = field(default_factory=dict)  # by the kinds of entries it owns
    requires: Sequence[str] = ()
    after: Sequence[str] = ()
    setup: Callable[[web.Application], None] | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A sub-app in its place, and where it came from."""

    app: SubApp
    origin: str


def load(names: Sequence[str]) -> list[Placed]:
    """Import exactly the named sub-apps and put each behind everything it needs."""
    return arrange([_find(name) for name in dict.fromkeys(names)])


def arrange(placed: Sequence[Placed]) -> list[Placed]:
    """Start order, reverse stop order and middleware order at once; stable for apps that need nothing."""
    by_name = {one.app.name: one for one in placed}
    _refuse_missing(placed, by_name)
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for one in placed:
        sorter.add(one.app.name, *one.app.requires, *(name for name in one.app.after if name in by_name))
    try:
        return [by_name[name] for name in sorter.static_order()]
    except CycleError as error:
        raise ArrangementError(f"Sub-apps need each other in a circle: {' -> '.join(error.args[1])}.") from None


def _refuse_missing(placed: Sequence[Placed], by_name: Mapping[str, Placed]) -> None:
    missing = sorted({name for one in placed for name in one.app.requires if name not in by_name})
    if not missing:
        return
    name = missing[0]
    requiring = [one.app.name for one in placed if _leads_to(one.app, name, by_name)]
    remedy = f"add {name} to APPS or leave {'it' if len(requiring) == 1 else 'them'} out"
    if name == "auth":
        remedy += "; to run without sign-in keep auth and set AUTH_DISABLED=true"
    verb = "requires" if len(requiring) == 1 else "require"
    raise ArrangementError(f"{', '.join(requiring)} {verb} the sub-app {name}, which is not in APPS: {remedy}.")


def _leads_to(app: SubApp, name: str, by_name: Mapping[str, Placed], seen: frozenset[str] = frozenset()) -> bool:
    if name in app.requires:
        return True
    further = (need for need in app.requires if need in by_name and need not in seen)
    return any(_leads_to(by_name[need].app, name, by_name, seen | {app.name}) for need in further)


def _find(name: str) -> Placed:
    module = f"messenger.apps.{name}"
    if name.isidentifier() and find_spec(module) is not None:
        return Placed(import_module(module).app, OWN)
    # Looked for only when needed: it reads the metadata of everything that is installed.
    foreign: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name in foreign:
        app = foreign[name].load()
        if not isinstance(app, SubApp):
            raise ArrangementError(f"The entry point {name} of {ENTRY_POINTS} is not a SubApp: {app!r}.")
        return Placed(app, getattr(foreign[name].dist, "name", "an entry point"))
    known = ", ".join(sorted({*_own_names(), *foreign}))
    raise ArrangementError(f"APPS names {name!r}, which is not installed. Known sub-apps: {known}.")


def _own_names() -> Iterable[str]:
    from pkgutil import iter_modules  # noqa: PLC0415  (only for the sentence of a refusal)

    from messenger import apps  # noqa: PLC0415

    return (module.name for module in iter_modules(apps.__path__))
