"""The strict reader: what is not plain JSON text is refused with its place, and what is, goes through untouched."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messenger.apps.messages.schemas import SendFrame, UsualSend
from messenger.errors import BadParameters
from messenger.web.body import MAX_DEPTH, PlainReader, convert, parse


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


USUAL = PlainReader(UsualSend)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"new_message","ref":"r","chat_id":"7","text":"hi"}',
        b'{"type": "new_message", "ref": "r", "chat_id": 7, "text": "a: b, {c} [d]", "client_id": "k"}',
        b'{"text":"12:30","chat_id":7,"type":"new_message","reply_to":"5","operation_id":-1}',
    ],
)
def test_a_usual_frame_is_decoded_at_once(raw):
    assert USUAL.read(raw) is not None


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"new_message","chat_id":7,"text":"a","text":"b"}',
        b'{"type":"new_message","type":"new_message","chat_id":7,"text":"a"}',
        b'{"type":"new_message","chat_id":7,"text":"a:","chat_id" :8}',
        b'{"type":"new_message","chat_id":7,"text":"a","ref" : "x:","ref":"y"}',
        b'{"type":"new_message","chat_id":7,"text":"\\u0000"}',
        b'{"type":"new_message","chat_id":7,"te\\u0078t":"a","text":"b"}',
        b'{"type":"new_message","chat_id":7,"text":"\xff"}',
        b'{"type":"new_message","chat_id":7,"text":7}',
        b'{"type":"new_message","chat_id":"07","text":"a"}',
        b'{"type":"new_message","chat_id":0,"text":"a"}',
        b'{"type":"new_message","chat_id":7}',
        b'{"type":"new_message","chat_id":7,"text":"a","more":1}',
        b'{"type":"new_message","chat_id":7,"text":"a","ref":null}',
        b'{"type":"typing","chat_id":7,"text":"new_message"}',
        b'{"chat_id":7,"text":"new_message"}',
        b'{"type":"new_message","chat_id":7,"text":"a"} {}',
        b'["new_message"]',
    ],
)
def test_what_is_not_quite_usual_is_left_to_the_strict_reader(raw):
    assert USUAL.read(raw) is None


KEYS = st.sampled_from(["type", "ref", "chat_id", "text", "client_id", "operation_id", "reply_to", "more"])
VALUES = st.sampled_from(
    [
        '"new_message"',
        '"7"',
        "7",
        "7.0",
        "7e0",
        "-0",
        "0",
        "null",
        "true",
        '"a: b"',
        r'"\":"',
        '"x"',
        "{}",
        "[1]",
        "1e400",
    ]
)
SPACE = st.sampled_from(["", "", "", " ", "\n", "\t "])


@given(st.lists(st.tuples(KEYS, SPACE, SPACE, VALUES, SPACE), max_size=8), st.booleans())
def test_what_is_decoded_at_once_is_what_the_strict_reader_says(members, is_begun):
    begun = [("type", "", "", '"new_message"', ""), ("chat_id", "", "", "7", ""), ("text", "", " ", '"hi"', "")]
    raw = ",".join(f'{a}"{key}"{a}:{b}{value}{c}' for key, a, b, value, c in [*begun * is_begun, *members])
    whole = f"{{{raw}}}".encode()
    usual = USUAL.read(whole)

    if usual is not None:
        fields = parse(whole)
        strict = convert(fields, SendFrame)
        assert {name: getattr(usual, name) for name in SendFrame.__struct_fields__} == {
            name: getattr(strict, name) for name in SendFrame.__struct_fields__
        }
        assert (fields["type"], fields.get("ref")) == ("new_message", usual.ref)
