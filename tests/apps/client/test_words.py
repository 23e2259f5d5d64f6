"""What the page says: the same things in both languages, nothing that nobody says, and every form of a number."""

import re

import pytest

from messenger.apps.client.assets import STATIC

LANGUAGES = {"en": {"one", "other"}, "ru": {"one", "few", "many", "other"}}
ENTRY = re.compile(r'^  "([\w.-]+)": (.+?),$', re.MULTILINE | re.DOTALL)
LINE = re.compile(r'^  "([\w.-]+)":', re.MULTILINE)
FORM = re.compile(r'\b(\w+): "')
PLACE = re.compile(r"\{(\w+)\}")
SAID = re.compile(r'"([a-z]\w*(?:\.[\w.-]+)?)"')
# Made of a word and what is known only then: a code of the server, a role, a key.
COMPOSED = ("error.", "key.", "keys.", "role.", "settings.", "tick.", "mute.")


def table(language: str) -> dict[str, str]:
    text = (STATIC / f"words/{language}.js").read_text()
    starts = [(found[1], found.end()) for found in LINE.finditer(text)]
    ends = [start for _, start in starts[1:]] + [len(text)]
    return {
        key: text[start:end].rpartition("\n  ")[0] or text[start:end]
        for (key, start), end in zip(starts, ends, strict=True)
    }


WORDS = {language: table(language) for language in LANGUAGES}


def code() -> str:
    """Of the page; messenger.js speaks to servers."""
    files = (path for path in STATIC.rglob("*.js") if path.parent.name not in {"words", "vendor"})
    return "\n".join(path.read_text() for path in files if path.name != "messenger.js")


def test_both_languages_say_the_same_things_in_the_same_order() -> None:
    assert list(WORDS["en"]) == list(WORDS["ru"]) == sorted(WORDS["en"], key=str.lower)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_number_has_every_form_of_its_language(language: str) -> None:
    for key, text in WORDS[language].items():
        forms = set(FORM.findall(text))
        assert forms in (set(), LANGUAGES[language]), key


def test_the_same_places_are_filled_in_both() -> None:
    for key, text in WORDS["en"].items():
        assert set(PLACE.findall(text)) == set(PLACE.findall(WORDS["ru"][key])), key


def test_everything_is_said_somewhere_and_nothing_else() -> None:
    said = set(SAID.findall(code()))

    unsaid = {key for key in WORDS["en"] if key not in said and not key.startswith(COMPOSED)}
    asked = {found for found in re.findall(r'say\("([\w.-]+)"', code())}
    assert unsaid == set()
    assert asked <= WORDS["en"].keys()


def test_every_key_of_the_keyboard_is_explained() -> None:
    keys = re.findall(r'where: "(\w+)", name: "(\w+)"', (STATIC / "model/keys.js").read_text())

    assert keys
    assert {f"key.{where}.{name}" for where, name in keys} == {key for key in WORDS["en"] if key.startswith("key.")}
