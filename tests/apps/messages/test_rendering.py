"""A page that is written as text has the bytes of one that is encoded object by object."""

import random

import msgspec
import pytest

from messenger.apps.messages.rendering import render_for, write_for
from messenger.apps.messages.schemas import MessagePage, Next, Reaction, WrittenPage
from messenger.apps.messages.store import ChatHead
from messenger.log.entries import Cursor
from messenger.web.reply import ENCODER

LETTERS = "ab \"\\/{}%<&'\n\r\t\b\f\x00\x01\x1f\x7f\x80\x9f\u2028\u2029\ufeffüыЖ漢\U0001f600\u200d\U0001f469"
COLUMNS = ("id", "seq", "sender_id", "text", "sent", "edited", "deleted", "reply_to", "key", "n")


class Row(tuple):
    """As the driver gives it: by place and by name."""

    def __getitem__(self, at):
        return tuple.__getitem__(self, COLUMNS.index(at) if isinstance(at, str) else at)


def words(dice: random.Random) -> str:
    return "".join(dice.choices(LETTERS, k=dice.choice((0, 1, 3, 40))))


def row(dice: random.Random, seq: int) -> Row:
    sent = dice.choice((dice.randrange(2**41), dice.randrange(-(10**12), 0), 1_700_000_059_999, 0))
    key = dice.choice(("c:", "i:", "s:", "u:", "d:")) + words(dice)
    text = dice.choice((words(dice), words(dice), None))
    edited = dice.choice((None, None, sent + dice.randrange(10**9)))
    reply_to = dice.choice((None, None, dice.randrange(1, 2**53)))
    return Row(
        (dice.randrange(1, 2**53), seq, dice.randrange(1, 5), text, sent, edited, seq % 7 == 0, reply_to, key, 1)
    )


@pytest.mark.parametrize("seed", range(50))
def test_a_page_written_as_text_has_the_bytes_of_the_encoder(seed: int) -> None:
    dice = random.Random(seed)
    rows = [row(dice, seq) for seq in range(1, dice.choice((1, 2, 60)))]
    people = {person: words(dice) for person in range(1, 5)}
    reactions = {
        one["id"]: [Reaction(words(dice), [str(number) for number in range(count)]) for count in (1, 3)]
        for one in rows
        if dice.random() < 0.3
    }
    chat = ChatHead(dice.randrange(1, 2**53), Cursor("e", 1), 60, dice.randrange(60), True, {}, people)
    for reader in range(4):  # 0 is nobody
        encoded = [render_for(reader, one, chat, reactions.get(one["id"]) or []) for one in rows]
        written = write_for(reader, rows, chat, reactions)
        assert bytes(written) == ENCODER.encode(encoded)
        rest = (Next("61"), [], False, True)
        assert ENCODER.encode(WrittenPage(written, *rest)) == ENCODER.encode(MessagePage(encoded, *rest))
        assert msgspec.json.decode(written) == msgspec.to_builtins(encoded)
