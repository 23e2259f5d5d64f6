"""What somebody typed into a search, taken apart, and where it stands in a text. Pure; offsets are code points.

Words are letters and digits. Quotes and punctuation inside a word (`foo.png`) mean: exactly so, in this order. A minus
before a word excludes it, `or` between words offers a choice.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

EDGES = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
TOKEN = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))')
WORD = re.compile(r"[^\W_]+")
TRIGRAM = re.compile(r"[^\W_]{3}")
RUN = re.compile(r"(\s{2,})")
LIKE = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})

Span = tuple[int, int]
Lexemes = Mapping[str, frozenset[str]]  # the forms that PostgreSQL reduces a word to


def fold(typed: str) -> str:
    """As search_fold() of the schema does it."""
    composed = unicodedata.normalize("NFKC", typed)
    return re.sub(r"\s+", " ", "".join(map(str.lower, composed)).replace("ё", "е"))


@dataclass(frozen=True, slots=True)
class Term:
    text: str  # folded, as it was typed
    words: tuple[str, ...]
    is_excluded: bool = False

    @property
    def is_literal(self) -> bool:
        return len(self.words) > 1

    @property
    def pattern(self) -> str:
        return f"%{self.text.translate(LIKE)}%"


@dataclass(frozen=True)
class Question:
    terms: tuple[Term, ...]
    choices: frozenset[int] = frozenset()  # before these terms stands an `or`

    @classmethod
    def typed(cls, raw: str) -> "Question":
        terms: list[Term] = []
        choices: set[int] = set()
        is_choice = False
        for token in TOKEN.finditer(fold(raw)):
            minus, quoted, plain = token.groups()
            if plain == "or" and not minus:
                is_choice = True
                continue
            text = quoted.strip() if quoted is not None else plain.strip(EDGES)
            words = tuple(WORD.findall(text))
            if not words:
                continue  # nothing but signs
            if is_choice and terms:
                choices.add(len(terms))
            is_choice = False
            terms.append(Term(text, words, minus == "-"))
        return cls(tuple(terms), frozenset(choices))

    @cached_property
    def wanted(self) -> list[Term]:
        return [term for term in self.terms if not term.is_excluded]

    @cached_property
    def excluded(self) -> list[Term]:
        return [term for term in self.terms if term.is_excluded]

    @property
    def websearch(self) -> str:
        """For websearch_to_tsquery, which takes anything; here only words, quotes and its three signs are left."""
        parts = []
        for number, term in enumerate(self.terms):
            choice = "or " if number in self.choices else ""
            parts.append(f'{choice}{"-" if term.is_excluded else ""}"{" ".join(term.words)}"')
        return " ".join(parts)

    @property
    def without(self) -> str:
        """Whatever has one of these is excluded."""
        return " or ".join(f'"{" ".join(term.words)}"' for term in self.excluded)

    @property
    def literals(self) -> list[str]:
        """Patterns that must hold to the letter: PostgreSQL knows phrases by the forms of their words only."""
        return [] if self.choices else [term.pattern for term in self.wanted if term.is_literal]

    @property
    def pieces(self) -> list[str]:
        """Patterns of the wanted terms, the longest first; empty when no index could find them as parts of words."""
        if self.choices or not any(TRIGRAM.search(term.text) for term in self.wanted):
            return []
        return [term.pattern for term in sorted(self.wanted, key=_selectivity, reverse=True)]

    @property
    def words(self) -> set[str]:
        return {word for term in self.wanted for word in term.words}


def _selectivity(term: Term) -> tuple[int, int]:
    return max((len(word) for word in WORD.findall(term.text)), default=0), len(term.text)


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
    """Where the wanted terms stand, as words in any form or as parts of words; in order, without overlaps."""
    found: list[Span] = []
    words = text.words
    forms = [lexemes.get(text.folded[start:end], frozenset()) for start, end in words]
    for term in question.wanted:
        sought = [lexemes.get(word, frozenset()) for word in term.words]
        if not term.is_literal:
            found += [word for word, form in zip(words, forms, strict=True) if form & sought[0]]
        at = text.folded.find(term.text)
        while at >= 0:
            found.append((at, at + len(term.text)))
            at = text.folded.find(term.text, at + len(term.text))
    return _merged(text.original(span) for span in found)


def _merged(spans: Iterator[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
