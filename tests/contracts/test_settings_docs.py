"""docs/settings.md and deploy/.env.example are what Config makes of them."""

from pathlib import Path

import pytest

from messenger.run.documents import documents, env_example, settings_page
from messenger.settings import knobs, read


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_a_document_is_what_the_settings_make_of_it(path: Path) -> None:
    assert path.read_text() == documents()[path], "run: make docs"


def test_every_setting_is_in_both_with_its_reason() -> None:
    for knob in knobs():
        assert f"\n| `{knob.name}` | " in settings_page()
        assert f"\n# {knob.why}\n#{knob.name}=" in env_example()


def test_the_example_file_as_it_is_changes_nothing(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(env_example())

    assert read({}, dotenv=dotenv) == read({})


def test_the_example_file_with_everything_uncommented_changes_nothing_either(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(env_example().replace("\n#", "\n"))

    assert read({}, dotenv=dotenv) == read({})
