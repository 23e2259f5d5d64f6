"""The reasons in errors.py, the page docs/errors.md and the contract's list of codes say the same."""

import re
from pathlib import Path
from typing import Any

from messenger.errors import catalogue
from tests.contract import CONTRACT, EVERYWHERE

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
ROW = re.compile(r"^\| `(?P<code>[a-z-]+)` \| (?P<status>\d{3}) \| (?P<when>.+) \| (?P<remedy>.+) \|$", re.MULTILINE)

Codes = dict[str, int]


def known() -> Codes:
    return {kind.code: kind.status for kind in catalogue()}


def explained(page: str) -> Codes:
    return {row["code"]: int(row["status"]) for row in ROW.finditer(page)}


def mentioned(document: dict[str, Any]) -> Codes:
    """Which code goes with which status, by the answers' own descriptions."""
    answers = list(document[EVERYWHERE].items())
    for item in document["paths"].values():
        for operation in item.values():
            answers += operation["responses"].items()
    found = {}
    for status, answer in answers:
        if "$ref" in answer:
            said = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]["description"]
            found.update({code: int(status) for code in re.findall("`([a-z-]+)`", said) if code in known()})
    return found


def differences(catalogue: Codes, words: Codes) -> list[str]:
    return sorted(
        [f"{code} {status} is missing" for code, status in catalogue.items() if words.get(code) != status]
        + [f"{code} {status} is not a code" for code, status in words.items() if catalogue.get(code) != status]
    )


def test_every_code_is_explained() -> None:
    assert differences(known(), explained(PAGE.read_text())) == []


def test_the_contract_lists_every_code() -> None:
    listed = CONTRACT.document["components"]["schemas"]["Code"]["enum"]

    assert sorted(listed) == sorted(known())


def test_the_contract_says_which_answer_brings_which_code() -> None:
    assert differences(known(), mentioned(CONTRACT.document)) == []


def test_one_code_has_one_sentence_of_its_own() -> None:
    titles = [kind.title for kind in catalogue()]

    assert len(titles) == len(set(titles)) == len(known())


def test_a_code_that_is_missing_changed_or_invented_is_reported() -> None:
    found = differences({"forbidden": 403, "internal": 500}, {"forbidden": 404, "gone": 410, "internal": 500})

    assert found == ["forbidden 403 is missing", "forbidden 404 is not a code", "gone 410 is not a code"]
