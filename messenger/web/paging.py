"""Query parameters and ids in paths: read once, the same everywhere."""

from collections.abc import Iterable
from urllib.parse import unquote, unquote_to_bytes

from aiohttp import web

from messenger.errors import BadParameters, Flaw, MessengerError, NotFound
from messenger.identity import MAX_ID

MAX_ID_DIGITS = 16


def query(request: web.BaseRequest, known: Iterable[str]) -> dict[str, str]:
    """The known parameters; one given twice is refused, since nobody can say which was meant."""
    given: dict[str, str] = {}
    for name in known:
        values = request.query.getall(name, [])
        if len(values) > 1:
            raise bad_parameter(name, "is given twice")
        if values:
            if "\x00" in values[0]:
                raise bad_parameter(name, "holds characters that are not text")
            given[name] = values[0]
    if "%" in request.rel_url.raw_query_string:
        _refuse_broken_text(request.rel_url.raw_query_string)
    return given


def _refuse_broken_text(raw: str) -> None:
    """Bytes that are no UTF-8 come through decoding as they were typed: `%ED` would be taken for three characters."""
    for pair in raw.split("&"):
        try:
            unquote_to_bytes(pair).decode()
        except UnicodeDecodeError:
            raise bad_parameter(unquote(pair.partition("=")[0]), "holds characters that are not text") from None


def whole_number(given: dict[str, str], name: str, default: int, *, least: int, most: int) -> int:
    raw = given.get(name)
    if raw is None:
        return default
    if not (raw.isascii() and raw.isdigit() and len(raw) <= MAX_ID_DIGITS and least <= int(raw) <= most):
        raise bad_parameter(name, f"must be a whole number from {least} to {most}")
    return int(raw)


def path_id(request: web.Request, name: str, missing: type[MessengerError] = NotFound) -> int:
    """An id that cannot exist is answered like one that does not."""
    found = find_id(request.match_info[name])
    if found is None:
        raise missing
    return found


def find_id(raw: str) -> int | None:
    if raw.isascii() and raw.isdigit() and len(raw) <= MAX_ID_DIGITS and 0 < int(raw) <= MAX_ID:
        return int(raw)
    return None


def optional_id(given: dict[str, str], name: str) -> int | None:
    if name not in given:
        return None
    found = find_id(given[name])
    if found is None:
        raise bad_parameter(name, "is not an id")
    return found


def bad_parameter(name: str, detail: str) -> BadParameters:
    return BadParameters(f"{name} {detail}.", flaws=[Flaw(name, detail)])
