"""The index answers what reading every message would: random texts and questions, every way of looking.

What must be found is said here once more, in a few lines of Python that know no index, only how the schema folds,
splits and reduces words.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from messenger.apps.search.words import Question
from tests.actors import Person
from tests.apps.search.finding import indexed, is_true
from tests.apps.talk import says
from tests.sizes import sized

TEXTS, QUESTIONS = 150, sized(1500)
STEMS = ("дом", "кот", "ёж", "посылк", "run", "child", "pizza", "c", "100", "x" * 600, "é", "漢字", "the", "и", "a1b2")
ENDINGS = ("", "", "а", "ами", "ов", "s", "ing", "ed", "0")
JOINTS = (" ", " ", " ", " ", ", ", ".", "-", "%", "++", "  \n", "'", "\\", "_", "\N{EM DASH}", "\N{SLICE OF PIZZA}")
JOINTS += ("\N{COMBINING ACUTE ACCENT}",)
LANGUAGE = "select array(select search_fold(u) from unnest($1::text[]) with ordinality x(u, n) order by n)"
SPLIT = "select n, search_split(u) as words from unnest($1::text[]) with ordinality x(u, n) order by n"
REDUCED = "select w, search_stems(w) as stems from unnest($1::text[]) w"
FIND = """
    select messages from search_find(null, $1, $2, $3, $4, 1000, $5, null, null, null, null, null, null, null, 0)
"""


@dataclass(frozen=True)
class Said:
    folded: str
    words: Sequence[str]


def text(choice: random.Random, most: int = 8) -> str:
    parts = []
    for _ in range(choice.randint(1, most)):
        parts += [choice.choice(STEMS) + choice.choice(ENDINGS), choice.choice(JOINTS)]
    return "".join(parts)


def question(choice: random.Random, said: Sequence[str]) -> str:
    """Words and pieces of what was said, some of it in quotes, excluded or as a choice."""
    terms = []
    for _ in range(choice.randint(1, 3)):
        source = choice.choice((choice.choice(said), text(choice, 2)))
        start = choice.randrange(len(source))
        piece = source[start : start + choice.randint(1, 12)].replace('"', "")
        form = choice.choice(("{}", "{}", '"{}"', "-{}", "or {}"))
        terms.append(form.format(piece))
    return " ".join(terms)


@dataclass(frozen=True)
class Plain:
    """What each term finds, in texts that were folded, split and reduced."""

    said: dict[int, Said]
    folded: dict[str, str]
    stems: dict[str, set[str]]
    pieces: dict[str, list[str]]

    def has_form(self, one: Said, word: str) -> bool:
        return any(self.stems[word] <= self.stems[other] for other in one.words)

    def found(self, asked: Question) -> set[int]:
        choices: dict[int, list[Any]] = {}
        for term in asked.terms:
            choices.setdefault(term.choice, []).append((self.folded[term.typed], term.is_excluded))
        return {number for terms in choices.values() for number in self.said if self.answers(self.said[number], terms)}

    def answers(self, one: Said, terms: Sequence[tuple[str, bool]]) -> bool:
        is_anything_asked = False
        has_part = any(
            not is_excluded
            and any(len(piece) >= 3 for piece in self.pieces[folded])
            and (self.pieces[folded] != [folded] or self.stems[folded])
            for folded, is_excluded in terms
        )
        for folded, is_excluded in terms:
            pieces = self.pieces[folded]
            is_word = pieces == [folded]
            telling = [piece for piece in pieces if self.stems[piece]]
            forms = all(self.has_form(one, piece) for piece in telling)
            if is_excluded:
                if folded in one.folded if not is_word else telling and forms:
                    return False
            elif is_word and telling:
                is_anything_asked = True
                if not (forms or has_part and folded in one.folded):
                    return False
            elif not is_word:
                is_anything_asked |= has_part or bool(telling)
                if folded not in one.folded or not (has_part or forms):
                    return False
        return is_anything_asked


async def plain(sql: asyncpg.Connection, questions: Sequence[Question]) -> Plain:
    rows = await sql.fetch("select id, search_fold(text) as folded from messages where deleted_at is null")
    terms = sorted({term.typed for one in questions for term in one.terms})
    folded = dict(zip(terms, [one.strip(" ") for one in await sql.fetchval(LANGUAGE, terms)], strict=True))
    texts = sorted({row["folded"] for row in rows} | set(folded.values()))
    pieces = {texts[row["n"] - 1]: list(row["words"]) for row in await sql.fetch(SPLIT, texts)}
    words = sorted({word for some in pieces.values() for word in some})
    stems = {row["w"]: set(row["stems"]) for row in await sql.fetch(REDUCED, words)}
    return Plain({row["id"]: Said(row["folded"], pieces[row["folded"]]) for row in rows}, folded, stems, pieces)


@pytest.mark.parametrize("seed", [1, None], ids=["the same", "another each time"])
async def test_every_way_of_looking_finds_what_reading_everything_finds(
    alice: Person, sql: asyncpg.Connection, seed: int | None
) -> None:
    choice = random.Random(seed)
    lunch = await alice.opens_chat("lunch")
    said = [text(choice) for _ in range(TEXTS)]
    ids = [(await says(alice, lunch, one))["message_id"] for one in said]
    for number in range(0, TEXTS, 10):
        path = f"/v1/chats/{lunch}/messages/{ids[number]}"
        if number % 20:
            (await alice.asks("DELETE", path)).expecting(204)
        else:
            said[number] = text(choice)
            (await alice.asks("PATCH", path, {"text": said[number]})).expecting(200)
    await indexed(sql)
    questions = [Question.typed(question(choice, said)) for _ in range(QUESTIONS)]
    truth = await plain(sql, questions)

    answered = 0
    for asked in questions:
        columns = ("typed", "choice", "is_excluded")
        given = [[getattr(term, column) for term in asked.terms] for column in columns]
        expected = truth.found(asked)
        answered += bool(expected)
        for is_ranked in (True, False):
            for often in (0, 10_000):
                found = await sql.fetchval(FIND, *given, is_ranked, often)
                assert set(found) == expected, (asked, is_ranked, often)
    assert QUESTIONS // 10 < answered < QUESTIONS
    assert await is_true(sql)
