"""swagger.yml as a judge: every answer of every test is held against it.

What is described is taken literally: status, media type, required headers, body. What is not described (an unknown
path, a method that a path lacks) may only be refused, in one of the ways that hold everywhere.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from jsonschema_rs import Draft7Validator, Draft202012Validator

SWAGGER = Path(__file__).parents[1] / "swagger.yml"
METHODS = frozenset({"get", "put", "post", "delete", "patch"})
EVERYWHERE = "x-answers-everywhere"
REFUSED = 400
PREFLIGHT = 204
# Of every answer, described or not (how the site is kept safe is no matter of the contract's single operations).
SAFETY = {
    "Server": "messenger",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
POLICY = "default-src 'none'; "  # pages go on in their own way


class Contract:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._operations: dict[tuple[str, str], dict[str, Any]] = {
            (method.upper(), path): operation
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method in METHODS
        }
        self._patterns = [(_pattern(path), path) for path in sorted(document["paths"], key=lambda path: "{" in path)]
        self._judges: dict[tuple[str, str, str], Answer] = {}

    @cached_property
    def operations(self) -> frozenset[tuple[str, str]]:
        return frozenset(self._operations)

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """`path` as it was asked for, or its template. AssertionError: this answer is not described."""
        where = f"{method} {path} -> {status}"
        for name, value in SAFETY.items():
            assert headers.get(name) == value, f"{where}: {name} is {headers.get(name)!r}, not {value!r}"
        assert headers.get("Content-Security-Policy", "").startswith(POLICY), f"{where}: no policy for its content"
        if method == "OPTIONS" and status == PREFLIGHT:
            return  # a browser's question before a request from another origin: no operation of ours
        template = self._template(path)
        operation = self._operations.get(("GET" if method == "HEAD" else method, template), {})
        answer = self._judge(operation, method, template, status)
        assert answer is not None, f"{where}: this status is not described: {body[:300]!r}"
        answer.check(where, headers, None if method == "HEAD" else body)
        if status >= REFUSED and body and _media(headers) == "application/problem+json":
            said = json.loads(body)
            assert said["status"] == status, f"{where}: the problem speaks of {said['status']}"
            assert said["type"].endswith("#" + said["code"]), f"{where}: the problem's type is {said['type']}"
            assert said["request_id"] == headers.get("X-Request-ID"), f"{where}: request_id is not X-Request-ID"

    def _template(self, path: str) -> str:
        path = path.partition("?")[0]
        path = path.rstrip("/") or "/"
        return next((template for pattern, template in self._patterns if pattern.fullmatch(path)), "")

    def _judge(self, operation: dict[str, Any], method: str, template: str, status: int) -> "Answer | None":
        key = (method, template, str(status))
        if key not in self._judges:
            described = operation.get("responses", {}).get(str(status)) or self.document[EVERYWHERE].get(str(status))
            if described is None:
                return None
            self._judges[key] = Answer(self.inlined(described))
        return self._judges[key]

    def inlined(self, node: Any) -> Any:
        """The same without references: nothing is looked up while an answer waits. Our schemas are no circles."""
        if isinstance(node, dict):
            if "$ref" in node:
                rest = {key: value for key, value in node.items() if key != "$ref"}
                return {**self.inlined(self._find(node["$ref"])), **rest}
            return {key: self.inlined(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self.inlined(value) for value in node]
        return node

    def _find(self, reference: str) -> Any:
        found = self.document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        return found


class Answer:
    """One described answer."""

    def __init__(self, described: dict[str, Any]) -> None:
        self._headers = [
            (name, header.get("required", False), Draft202012Validator(header["schema"]))
            for name, header in described.get("headers", {}).items()
        ]
        self._bodies = {
            media: Draft202012Validator(content["schema"]) if "schema" in content else None
            for media, content in described.get("content", {}).items()
        }

    def check(self, where: str, headers: Mapping[str, str], body: bytes | None) -> None:
        for name, is_required, validator in self._headers:
            if name in headers:
                _judge(f"{where}: {name}", validator, headers[name])
            else:
                assert not is_required, f"{where}: the header {name} is missing"
        if body is None:
            return
        if not self._bodies:
            assert not body, f"{where}: a body where none is described: {body[:300]!r}"
            return
        media = _media(headers)
        assert media in self._bodies, f"{where}: {media} is not described"
        validator = self._bodies[media]
        if validator is not None:
            _judge(f"{where}: body", validator, json.loads(body) if media.endswith("json") else body.decode())


def _judge(where: str, validator: Draft202012Validator, value: Any) -> None:
    complaint = complaints(validator, value)
    assert not complaint, f"{where}{complaint}"


def complaints(validator: Draft202012Validator | Draft7Validator, value: Any) -> str:
    """Each place that is not as described, and why."""
    return "; ".join(f"{_place(error.instance_path)}: {error.message[:300]}" for error in validator.iter_errors(value))


def _place(path: Iterable[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _media(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


WIDE = "{path}"  # a path inside a path


def _pattern(path: str) -> re.Pattern[str]:
    def fitting(part: str) -> str:
        return ".+" if part == WIDE else "[^/]+" if part.startswith("{") else re.escape(part)

    return re.compile("".join(map(fitting, _parts(path))))


def _parts(path: str) -> list[str]:
    return re.split(r"(\{[^}]+\})", path)


@cache
def load(path: Path = SWAGGER) -> Contract:
    return Contract(yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


CONTRACT = load()
