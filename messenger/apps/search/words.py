"""What somebody typed into a search, taken apart, and where it stands in a text. Pure; offsets are code points.

A term is what stands between spaces, or between quotes. A term of letters and digits alone is found in any form of the
word, or as a part of a word. Any other character in it (`foo.png`, `100%`, `"two words"`) means: exactly so. Signs that
stand alone count in quotes only. A minus before a term excludes it, `or` between terms offers a choice.

What a term finds is decided by functions of the schema, which fold it as they folded the index. Folding is done here as
well for highlights only.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

TOKEN = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))')
WORD = re.compile(r"[^\W_]+")
RUN = re.compile(r"(\s{2,})")

Span = tuple[int, int]
Lexemes = Mapping[str, frozenset[str]]  # the forms that PostgreSQL reduces a word to


def fold(typed: str) -> str:
    """As search_fold() of the schema does it."""
    composed = unicodedata.normalize("NFKC", typed)
    return re.sub(r"\s+", " ", "".join(map(str.lower, composed)).replace("ё", "е"))


@dataclass(frozen=True, slots=True)
class Term:
    typed: str
    folded: str
    choice: int = 0  # a text must have all wanted terms of one choice
    is_excluded: bool = False

    @property
    def is_word(self) -> bool:
        return WORD.fullmatch(self.folded) is not None


@dataclass(frozen=True)
class Question:
    terms: tuple[Term, ...]

    @classmethod
    def typed(cls, raw: str) -> "Question":
        terms: list[Term] = []
        choice = 0
        for token in TOKEN.finditer(raw):
            minus, quoted, plain = token.groups()
            if plain is not None and not minus and fold(plain) == "or":
                choice += 1
                continue
            folded = fold(plain if quoted is None else quoted).strip()
            if folded and (quoted is not None or WORD.search(folded)):
                terms.append(Term(quoted or plain, folded, choice, minus == "-"))
        return cls(tuple(terms))

    @cached_property
    def wanted(self) -> list[Term]:
        return [term for term in self.terms if not term.is_excluded]

    @property
    def words(self) -> set[str]:
        """Those that may stand in a text in another form."""
        return {term.folded for term in self.wanted if term.is_word}


@dataclass(frozen=True)
class Text:
    """A text and its folded form, which may be longer or shorter: each folded character knows where it came from."""

    folded: str
    places: Sequence[Span]

    @classmethod
    def of(cls, text: str) -> "Text":
        folded: list[str] = []
        places: list[Span] = []
        start = 0
        for piece in RUN.split(text):
            plain, end = fold(piece), start + len(piece)
            if len(plain) == len(piece) and unicodedata.is_normalized("NFKC", piece):
                # What people mostly write: one character for one, so nothing has to be taken apart.
                folded.append(plain)
                places += zip(range(start, end), range(start + 1, end + 1), strict=True)
            else:
                _fold_apart(piece, start, folded, places)
            start = end
        return cls("".join(folded), places)

    @cached_property
    def words(self) -> list[Span]:
        return [found.span() for found in WORD.finditer(self.folded)]

    def original(self, span: Span) -> Span:
        return self.places[span[0]][0], self.places[span[1] - 1][1]


def _fold_apart(piece: str, start: int, folded: list[str], places: list[Span]) -> None:
    for first, after in _clusters(piece):
        for char in fold(piece[first:after]):
            if char == " " and folded and folded[-1].endswith(" "):
                continue
            folded.append(char)
            places.append((start + first, start + after))


def _clusters(text: str) -> Iterator[Span]:
    """A character and the marks that belong to it."""
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or not unicodedata.combining(text[at]):
            yield start, at
            start = at


def highlights(question: Question, text: Text, lexemes: Lexemes) -> list[Span]:
    """Where the wanted terms stand, as words in any form or to the letter; in order, without overlaps."""
    found: list[Span] = []
    words = text.words
    forms = [lexemes.get(text.folded[start:end], frozenset()) for start, end in words]
    for term in question.wanted:
        if term.is_word:
            sought = lexemes.get(term.folded, frozenset())
            found += [word for word, form in zip(words, forms, strict=True) if form & sought]
        at = text.folded.find(term.folded)
        while at >= 0:
            found.append((at, at + len(term.folded)))
            at = text.folded.find(term.folded, at + len(term.folded))
    return _merged(text.original(span) for span in found)


def _merged(spans: Iterator[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
