"""What a frame may be, and that every ref is answered exactly once; also by hand, with bytes no client would send."""

import asyncio
import json

import pytest

from tests.apps.classic.older import all_chats, settled
from tests.apps.ws.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, frame, raw_socket
from tests.sockets import Refused

pytestmark = pytest.mark.shared

HUGE = 64 * 1024


def words(**fields) -> bytes:
    return json.dumps(fields).encode()


async def test_every_ref_has_its_one_answer_whatever_the_frame_was(alice, bob):
    lunch = await alice.opens_chat("lunch")
    async with alice.connects() as hers, bob.connects() as his:
        said = await hers.asks("new_message", chat_id=lunch, text="pizza?", ref="é" * 64)
        mid = said["message_id"]
        wrong = {
            "no-such-verb": {},
            "": {},
            "new_message": {"chat_id": lunch, "text": " \u200b"},
            "read_message": {"chat_id": lunch, "id": "0"},
            "edit_message": {"chat_id": lunch, "message_id": mid, "text": "x" * 4097},
            "delete_message": {"chat_id": lunch, "message_id": "999999999"},
            "react": {"chat_id": lunch, "message_id": mid, "emoji": ""},
            "unreact": {"chat_id": lunch, "message_id": "no id", "emoji": "!"},
            "typing": {"chat_id": "999999999"},
            "presence": {"status": "invisible"},
            "resume": {"cursor": "not a cursor"},
        }
        answers = [await hers.sends(verb, **fields) for verb, fields in wrong.items()]
        results = await asyncio.gather(*answers, return_exceptions=True)

        assert all(isinstance(one, Refused) for one in results), results
        codes = dict(zip(wrong, (one.code for one in results), strict=True))
        assert codes["resume"] == "bad-cursor"
        assert codes["delete_message"] == "message-not-found"
        assert codes["typing"] == "chat-not-found"
        rest = {verb: code for verb, code in codes.items() if verb not in {"resume", "delete_message", "typing"}}
        assert set(rest.values()) == {"bad-parameters"}, rest
        # A stranger is told what he would be told of a chat that is not there.
        for verb in ("new_message", "read_message", "edit_message", "delete_message", "react", "typing"):
            frame_ = {"chat_id": lunch, "message_id": mid, "id": mid, "text": "hi", "emoji": "!"}
            assert [await refusal(his, verb, **{**frame_, "chat_id": c}) for c in (lunch, "999999")] == (
                ["chat-not-found"] * 2
            ), verb
        assert await hers.asks("ping", ref="") == {}


async def refusal(socket, verb, **fields) -> str:
    with pytest.raises(Refused) as refused:
        await socket.asks(verb, **fields)
    return refused.value.code


async def test_what_breaks_inside_is_told_by_request_and_by_frame_and_its_insides_are_not(alice, sql, caplog):
    lunch = await alice.opens_chat("lunch")
    path = f"/v1/chats/{lunch}/messages"
    mid = (await alice.post(path, {"text": "pizza?"})).json["message_id"]
    async with alice.connects() as socket, all_chats(alice) as older:
        await settled(older)
        await sql.execute("alter table members rename column read_seq to planted_column")

        answers = [
            await alice.post(path, {"text": "soup?"}),
            await alice.get(f"/v1/chats/{lunch}/members"),
            await alice.post(f"/v1/chats/{lunch}/read", {"message_id": mid}),
        ]
        told = [await problem(socket, "new_message", chat_id=lunch, text="soup?")]
        told += [await problem(socket, "read_message", chat_id=lunch, id=mid)]
        await older.says(type="new_message", chat_id=int(lunch), text="soup?")
        sentence = await older.refusal()

        await sql.execute("alter table members rename column planted_column to read_seq")
        assert (await socket.asks("new_message", chat_id=lunch, text="soup!"))["text"] == "soup!"
    for answer in answers:
        assert (answer.status, answer.code) == (500, "internal"), answer
    assert [one["code"] for one in told] == ["internal"] * 2
    shown = "".join([*(str(answer.body) for answer in answers), *map(str, told), sentence]).lower()
    assert not [word for word in ("read_seq", "members m", "select", "column", "asyncpg", "trace") if word in shown]
    assert "read_seq" in caplog.text, "those who operate the server are told"


async def problem(socket, verb, **fields) -> dict:
    with pytest.raises(Refused) as refused:
        await socket.asks(verb, **fields)
    return refused.value.problem


async def test_what_has_no_usable_ref_is_told_without_one(alice):
    async with alice.connects() as socket:
        for bad in ("{", "", "[]", '"ping"', "null", "\ufeff{}", '{"type":"ping","type":"ping"}'):
            await socket.says(bad)
            assert (await socket.hears("error"))["error"]["code"] == "bad-parameters", bad
        async with alice.connects() as another:
            for ref in ("x" * 65, 7, ["r"], True):
                await another.says(json.dumps({"type": "ping", "ref": ref}))
                error = await another.hears("error")
                assert "ref" not in error and error["error"]["errors"][0]["pointer"] == "/ref"
            await another.says('{"type":"ping"}')
            assert await another.hears("pong") == {"type": "pong"}
            for verb in (7, None):
                with pytest.raises(Refused):
                    await another.asks(verb)


async def test_words_that_cannot_be_stored_are_refused_with_the_ref_of_their_frame(alice):
    lunch = await alice.opens_chat("lunch")
    async with alice.connects() as socket:
        for number, words in enumerate((r"nothing \u0000 more", r"half a pair \ud800", '", "text": "twice')):
            await socket.says(f'{{"type": "new_message", "ref": "{number}", "chat_id": "{lunch}", "text": "{words}"}}')
            error = await socket.hears("error")
            assert (error["ref"], error["error"]["code"]) == (str(number), "bad-parameters"), words


async def test_ten_malformed_frames_in_a_minute_close_and_refusals_do_not_count(alice):
    lunch = await alice.opens_chat("lunch")
    async with alice.connects() as socket:
        for _ in range(15):
            assert await refusal(socket, "new_message", chat_id=lunch, text="") == "bad-parameters"
            assert await refusal(socket, "new_message", chat_id="999999", text="hi") == "chat-not-found"
        for number in range(9):
            await socket.says("{" if number % 2 else '{"type":"sing"}')
        await socket.asks("ping")  # still here
        await socket.says('{"type":"sing"}')

        assert await socket.closes() == 4503
        assert [one["type"] for one in socket.heard] == ["error"] * 10


async def test_a_message_of_64_kib_is_heard_and_one_byte_more_is_too_big(alice):
    body = words(type="ping", ref="r", padding="")
    async with alice.connects() as socket:
        exact = body[:-2].decode() + "x" * (HUGE - len(body)) + '"}'
        assert len(exact) == HUGE
        answer = await socket.sends("ping", ref="r")
        await answer
        async with raw_socket(alice) as raw:
            await raw.says(frame(exact.encode()))
            assert (await raw.hears())[1] == b'{"type":"ack","ref":"r","result":{}}'
            await raw.says(frame(exact.encode() + b" "))
            assert await raw.is_closed_with() == 1009
        async with raw_socket(alice) as raw:
            piece = b"x" * 66
            await raw.says(frame(piece, fin=False), *(frame(piece, CONTINUATION, fin=False) for _ in range(999)))
            assert await raw.is_closed_with() == 1009
        async with raw_socket(alice) as raw:  # promised only: nobody waits for the bytes
            await raw.says(b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"mask")
            assert await raw.is_closed_with() == 1009
        async with raw_socket(alice) as raw:
            text = words(type="ping", ref="é").decode().encode()
            pieces = [text[at : at + 1] for at in range(len(text))]
            await raw.says(
                frame(pieces[0], fin=False),
                *(frame(one, CONTINUATION, fin=False) for one in pieces[1:]),
                frame(b"", CONTINUATION),
            )
            assert json.loads((await raw.hears())[1])["ref"] == "é"
        assert await socket.asks("ping") == {}  # others did not feel it


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        (1007, [frame(b'{"type":"ping","ref":"\xff"}'), frame(b"\xed\xa0\x80"), frame(b"\xc0\xaf")]),
        (1003, [frame(b"\x00\x01", BINARY), frame(words(type="ping"), BINARY)]),
        (
            1002,
            [
                *(frame(b"", opcode) for opcode in (0x3, 0x7, 0xB, 0xF)),
                *(frame(b"{}", rsv=rsv) for rsv in (1, 2, 4)),
                frame(words(type="ping"), masked=False),
                frame(words(type="ping")) + frame(words(type="ping"), masked=False),
                frame(b"", CONTINUATION),
                frame(b"{", fin=False) + frame(b"{}"),
                frame(b"", PING, fin=False),
                frame(b"x" * 126, PING),
                frame(b"\x03", CLOSE),
                frame((1005).to_bytes(2, "big"), CLOSE),
            ],
        ),
    ],
    ids=["not UTF-8", "not text", "not WebSocket"],
)
async def test_bytes_that_break_the_rules_close_with_their_code(alice, code, wrong):
    for bad in wrong:
        async with raw_socket(alice) as raw:
            await raw.says(bad)
            assert await raw.is_closed_with() == code, bad
    async with alice.connects() as socket:
        assert await socket.asks("ping") == {}


async def test_frames_that_did_not_wait_for_the_upgrade_are_held_to_the_same_rules(alice):
    async with raw_socket(alice, early=frame(words(type="ping", ref="early"))) as raw:
        assert json.loads((await raw.hears())[1])["ref"] == "early"
        await raw.says(frame(b"are you there", PING))
        assert await raw.hears() == (PONG, b"are you there")
    whole = frame(words(type="ping", ref="split"))
    async with raw_socket(alice, early=whole[:9]) as raw:
        await raw.says(whole[9:])
        assert json.loads((await raw.hears())[1])["ref"] == "split"
    async with raw_socket(alice, early=frame(words(type="ping"), masked=False), greeted=False) as raw:
        assert await raw.is_closed_with() == 1002
    async with raw_socket(alice) as raw:
        await raw.says(frame((1000).to_bytes(2, "big"), CLOSE))
        assert (await raw.hears())[0] == CLOSE
