"""The strict reader: what is not plain JSON text is refused with its place, and what is, goes through untouched."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messenger.errors import BadParameters
from messenger.web.body import MAX_DEPTH, parse


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    return ('{"a": ' + opening * depth + closing * depth + "}").encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  ",
        b"{",
        b"{} x",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"// no\n{}",
        b"\xff{}",
        b'{"a": "\xc3\x28"}',
        '{"a": "x"}'.encode("utf-16"),
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "a": 2}}',
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'{"a": ["\\ud800"]}',
        b'{"a": ' + b"9" * 5000 + b"}",
        nested(MAX_DEPTH),
        nested(30_000),
        b'{"a": ' * 30_000 + b"1" + b"}" * 30_000,
    ],
)
def test_what_is_not_strict_json_is_refused(raw):
    with pytest.raises(BadParameters):
        parse(raw)


def test_brackets_inside_strings_do_not_count_as_depth():
    words = "[" * 100 + '"' + "{" * 100 + "\\"

    assert parse(json.dumps({"a": words}).encode()) == {"a": words}


def test_the_deepest_allowed_body_passes():
    assert parse(nested(MAX_DEPTH - 1))["a"]


def test_a_refusal_names_the_place():
    with pytest.raises(BadParameters) as refused:
        parse(b'{"who": {"names": ["fine", "\\ud800"]}}')

    assert refused.value.flaws[0].pointer == "/who/names/1"


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")),
        st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    )
)
def test_all_other_text_goes_through_untouched(body):
    assert parse(json.dumps(body).encode()) == body
    assert parse(json.dumps(body, ensure_ascii=False).encode()) == body
