"""The frames of `messenger.v1`, as bytes. Pure: no socket, no clock.

One text frame is one JSON object. What has a `ref` is answered by exactly one `ack` or `error` with it.
"""

import json
from typing import Any

import msgspec

from messenger.errors import BadParameters, Flaw, MessengerError
from messenger.log.entries import Entry, Run
from messenger.web.body import parse
from messenger.web.sockets.frames import framed

NAME = "messenger.v1"
ENCODER = msgspec.json.Encoder()
REF_LENGTH = 64


class Frame(msgspec.Struct, frozen=True):
    verb: str
    ref: str | None
    fields: Any  # a dict, or what was decoded at once


def read(raw: bytes) -> Frame:
    """Without a `type` that is text the verb is empty: there is no such verb, but the ref can be answered."""
    fields = parse(raw)
    ref, verb = fields.get("ref"), fields.get("type")
    if ref is not None and not is_ref(ref):
        raise BadParameters(f"/ref: must be text of at most {REF_LENGTH}.", flaws=[Flaw("/ref", "is not a ref")])
    return Frame(verb if isinstance(verb, str) else "", ref, fields)


def is_ref(value: object) -> bool:
    return isinstance(value, str) and len(value) <= REF_LENGTH


def ref_in(raw: bytes) -> str | None:
    """Of a frame that was refused for what it holds: what is JSON all the same may have a ref, which is answered."""
    try:
        fields = json.loads(raw)
        ref = fields.get("ref") if isinstance(fields, dict) else None
        return ref if is_ref(ref) and ENCODER.encode(ref) else None
    except (ValueError, RecursionError):
        return None


def unknown(verb: str) -> BadParameters:
    detail = f"there is no frame of the type {verb[:40]!r}" if verb else "is required"
    return BadParameters(f"/type: {detail}.", flaws=[Flaw("/type", detail)])


def of_entry(entry: Entry) -> bytes:
    if not entry.wire_frame:
        entry.wire_frame = framed(entry.event)
    return entry.wire_frame


def of_run(run: Run) -> bytes:
    """The frames of its entries, one after the other."""
    if not run.wire_frames:
        run.wire_frames = b"".join(map(of_entry, run.entries))
    return run.wire_frames


def encode_frame(fields: dict[str, Any]) -> bytes:
    return framed(ENCODER.encode(fields))


def ack(ref: str, result: Any, replayed: bool = False) -> bytes:
    again = b',"replayed":true' if replayed else b""
    return framed(b'{"type":"ack","ref":%b,"result":%b%b}' % (ENCODER.encode(ref), ENCODER.encode(result), again))


def error(ref: str | None, reason: MessengerError, request_id: str) -> bytes:
    problem = reason.problem(request_id)
    if reason.retry_after is not None:
        problem["retry_after"] = reason.retry_after
    return encode_frame({"type": "error", **({"ref": ref} if ref is not None else {}), "error": problem})
