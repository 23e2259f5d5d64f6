"""What people type is taken apart in a way that cannot go wrong, and found where it stands. Without a database."""

import pytest

from messenger.apps.search.words import Question, Text, fold, highlights


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("Pizza", [("pizza", False)]),
        ('"Red Cars" -green', [("red cars", False), ("green", True)]),
        ("foo.png, (bar)", [("foo.png,", False), ("(bar)", False)]),
        ("C++ 100% -c#", [("c++", False), ("100%", False), ("c#", True)]),
        ('tea & "&"', [("tea", False), ("&", False)]),
        ('"never closed', [("never closed", False)]),
        ("Ёлка ЕЛКА", [("елка", False), ("елка", False)]),
        ("ＦＵＬＬ width", [("full", False), ("width", False)]),
        ('a & | ( :* <-> !! \\ \' "" -', [("a", False)]),
        ("\N{SLICE OF PIZZA} ++ --", []),
        ("", []),
    ],
)
def test_what_is_typed_becomes_terms(typed: str, terms: list[tuple[str, bool]]) -> None:
    assert [(term.folded, term.is_excluded) for term in Question.typed(typed).terms] == terms


def test_or_parts_the_terms_into_choices() -> None:
    def choices(typed: str) -> list[tuple[str, int]]:
        return [(term.typed, term.choice) for term in Question.typed(typed).terms]

    assert choices("red tea or Milk OR coffee") == [("red", 0), ("tea", 0), ("Milk", 1), ("coffee", 2)]
    assert choices("or tea or") == [("tea", 1)]
    assert choices('-or "or"') == [("or", 0), ("or", 0)]


FORMS = {word: frozenset({word.rstrip("s")}) for word in ("car", "cars", "red", "scar", "е", "елка", "i", "cafe")}


@pytest.mark.parametrize(
    ("typed", "said", "marked"),
    [
        ("car", "A car, two Cars", ["car", "Cars"]),
        ("car", "scars", ["car"]),
        ('"red car"', "red cars, cars red", ["red car"]),
        ("елка", "\N{SLICE OF PIZZA} Ёлка, Е\N{COMBINING DIAERESIS}лка", ["Ёлка", "Е\N{COMBINING DIAERESIS}лка"]),
        ('"red  cars"', "Red\n\n  Cars!", ["Red\n\n  Cars"]),
        ("file", "\N{LATIN SMALL LIGATURE FI}le", ["\N{LATIN SMALL LIGATURE FI}le"]),
        ("red", "İred  İ", ["red"]),  # one character becomes two, two become one
        ("red -car", "red car", ["red"]),
        ("pizza", "tea", []),
        ("100%", "100% of 1000, or 2100%", ["100%", "100%"]),
        ("C++", "C, C++ and libc++", ["C++", "c++"]),
        ('"red car!"', "red car, red car!", ["red car!"]),
        ("cars,", "car, cars, cars", ["cars,"]),
    ],
)
def test_a_hit_shows_where_the_words_stand(typed: str, said: str, marked: list[str]) -> None:
    spans = highlights(Question.typed(typed), Text.of(said), FORMS)

    assert [said[start:end] for start, end in spans] == marked


SAID = ("Ёж ЁЖ", "Ａ  b\t\nC", "ÀÉ", "E\N{COMBINING ACUTE ACCENT}", "ΣΑΣ", "İ", "ß", "²") + (
    "İ  x",
    " \n\n ",
    "a \N{ACUTE ACCENT}  \N{ACUTE ACCENT}b",
    "x\n\nİy\n\n\N{COMBINING ACUTE ACCENT}z",
    "\N{NO-BREAK SPACE}\N{EM SPACE}",
)


@pytest.mark.parametrize("said", SAID)
def test_folding_a_text_is_the_same_by_both_ways(said: str) -> None:
    assert Text.of(said).folded == fold(said)


@pytest.mark.parametrize("said", SAID)
def test_each_folded_character_comes_from_where_it_stood(said: str) -> None:
    text = Text.of(f"{said} Яблоко")

    assert len(text.places) == len(text.folded)
    assert text.places == sorted(text.places)
    assert text.original((len(text.folded) - 6, len(text.folded))) == (len(said) + 1, len(said) + 7)
