"""The one strict reader of JSON, for request bodies and socket frames alike.

Whatever the Content-Type says, it is UTF-8 JSON with an object at the top: no duplicate keys, no NaN, no numbers
beyond reason, no NUL or lone surrogates, nothing nested deeper than 32. Everything else is 400 with a pointer.
"""

import asyncio
import json
import re
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, NoReturn, TypeVar

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from messenger.errors import BadParameters, Flaw, TimedOut, TooLarge, UnsupportedEncoding

T = TypeVar("T")

BODY_LIMIT = 64 * 1024
BODY_SECONDS = 20.0
MAX_DEPTH = 32
MAX_DIGITS = 40
PLAIN_SIZE = 4096
DECODER = msgspec.json.Decoder()
LOOSE = re.compile(rb'"[ \t\r\n]+:')  # a key whose colon stands apart


async def read_bytes(request: web.Request) -> bytes:
    """The whole body, or an error: too large, too slow, compressed, cut off."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        raise UnsupportedEncoding
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except HTTPRequestEntityTooLarge:
        raise TooLarge(f"A request body is at most {BODY_LIMIT} bytes.") from None
    except TimeoutError:
        raise TimedOut from None
    except (HttpProcessingError, web.RequestPayloadError):
        raise BadParameters("The request body is not well-formed HTTP.") from None


async def read(request: web.Request, kind: type[T]) -> T:
    return convert(parse(await read_bytes(request)), kind)


def parse(raw: bytes) -> dict[str, Any]:
    found = _parse_plain(raw)
    return _parse_strictly(raw) if found is None else found


def _parse_plain(raw: bytes) -> dict[str, Any] | None:
    """The common case: a flat object with as many colons as keys, and no escapes. 3 µs, the strict way takes 14.

    Each member has a colon, so when there are no more colons than keys, no key came twice. None: look more closely.
    """
    if raw.count(b"{") != 1 or b"[" in raw or b"\\u" in raw or len(raw) > PLAIN_SIZE:
        return None
    try:
        value = DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) and is_each_named_once(raw, len(value)) else None


def is_each_named_once(raw: bytes, keys: int) -> bool:
    """A flat object with so many different keys: has it no more members? Each has a colon after the quote of its key;
    more of them may stand in texts, and then the answer is no."""
    return raw.count(b":") == keys or (raw.count(b'":') == keys and LOOSE.search(raw) is None)


class PlainReader(Generic[T]):
    """The common case of one kind of frame or body, decoded in one step. As strict as `parse` and `convert` are."""

    def __init__(self, kind: type[T]) -> None:
        """A struct that forbids unknown fields; None stands for what is not given."""
        self._decode = msgspec.json.Decoder(kind).decode
        tag = kind.__struct_config__.tag  # type: ignore[attr-defined]
        fields = msgspec.structs.fields(kind)  # type: ignore[arg-type]
        optional = [field.name for field in fields if not field.required]
        self._mark = f'"{tag}"'.encode()
        self._given = attrgetter(*optional)
        self._most = len(fields) + 1

    def read(self, raw: bytes) -> T | None:
        """None: look more closely."""
        if self._mark not in raw or b"\\u" in raw:
            return None
        try:
            value = self._decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return value if is_each_named_once(raw, self._most - self._given(value).count(None)) else None


def _parse_strictly(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        raise BadParameters("A JSON object is expected, the body is empty.")
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _refuse_depth(raw)
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_int
        )
    except UnicodeDecodeError:
        raise BadParameters("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise BadParameters(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    if not isinstance(value, dict):
        raise BadParameters("A JSON object is expected.")
    if b"\\u" in raw:  # only an escape can bring NUL or a lone surrogate in
        _refuse_unstorable(value, "")
    return value


def convert(value: Any, kind: type[T]) -> T:
    """From JSON's words to ours; the first thing that does not fit is named with its place."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        pointer, detail = _explain(str(error))
        raise BadParameters(f"{pointer or 'The body'}: {detail}.", flaws=[Flaw(pointer, detail)]) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadParameters("The body names a key twice.")
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise BadParameters(f"{word} is not a JSON number.")


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:  # int() of thousands of digits is slow, then refused
        raise BadParameters("The body holds a number beyond reason.")
    return int(digits)


STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
# Neither a string nor a bracket matters to the depth.
NEUTRAL = re.compile(rb"[^\[\]{}]+")


def _refuse_depth(raw: bytes) -> None:
    depth = 0
    for bracket in NEUTRAL.sub(b"", STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise BadParameters(f"The body is nested deeper than {MAX_DEPTH}.")


def _refuse_unstorable(value: Any, pointer: str) -> None:
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
            detail = "NUL and lone surrogates are not text"
            raise BadParameters(f"{pointer or 'A key'}: {detail}.", flaws=[Flaw(pointer, detail)])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unstorable(item, f"{pointer}/{index}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(key, pointer)
            _refuse_unstorable(item, f"{pointer}/{key}")


PLACE = re.compile(r"^(?P<detail>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]+)`$")


@lru_cache(maxsize=256)
def _explain(text: str) -> tuple[str, str]:
    """`Expected `str`, got `int` - at `$.user.name`` becomes `/user/name` and the reason."""
    found = PLACE.match(text)
    assert found is not None  # the expression matches anything
    detail, path = found["detail"], found["path"] or ""
    pointer = re.sub(r"\.|\[", "/", path).replace("]", "")
    missing = MISSING.match(detail)
    if missing:
        return f"{pointer}/{missing['name']}", "is required"
    return pointer, detail[:1].lower() + detail[1:]
