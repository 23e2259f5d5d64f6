"""Where the keys of an installation come from."""

import os
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from messenger.apps.auth.secret_keys import load_keys
from messenger.settings import SettingError, read


def keys_of(folder, **settings):
    return load_keys(read({"DATA_DIR": str(folder), **settings}))


def keep(folder, text, mode=0o600):
    path = folder / "secrets"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_first_start_makes_a_key_that_only_its_owner_reads_and_keeps_it(tmp_path):
    folder = tmp_path / "new" / "data"

    first, second = keys_of(folder), keys_of(folder)

    assert first == second and len(first) == 1
    assert Fernet(first[0])
    assert [path.name for path in folder.iterdir()] == ["secrets"]
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_processes_that_start_together_end_with_one_key(tmp_path):
    with get_context("spawn").Pool(2) as pool:
        found = pool.map(keys_of, [tmp_path] * 4, chunksize=1)

    assert len({key for keys in found for key in keys}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secrets"]


def test_threads_that_race_end_with_one_key_every_time(tmp_path):
    folders = [tmp_path / str(number) for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(keys_of, [folder for folder in folders for _ in range(4)]))

    assert all(len({keys[0] for keys in found[at : at + 4]}) == 1 for at in range(0, 80, 4))


def test_the_setting_wins_and_may_hold_several_keys(tmp_path):
    one, two = Fernet.generate_key().decode(), Fernet.generate_key().decode()

    assert keys_of(tmp_path, SECRET_KEY=f"{one}, {two}") == [one, two]
    assert list(tmp_path.iterdir()) == []
    keep(tmp_path, f"{one}\n{two}\n")
    assert keys_of(tmp_path) == [one, two]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620])
def test_a_file_that_others_may_open_is_refused(tmp_path, mode):
    path = keep(tmp_path, Fernet.generate_key().decode(), mode)

    with pytest.raises(SettingError, match=f"open to others; run: chmod 600 {path}"):
        keys_of(tmp_path)


@pytest.mark.parametrize("text", ["", "\n \n", "not a key", "x" * 44, "\x00" * 44, "ключ", "a" * 43 + "="])
def test_a_file_without_good_keys_is_refused_and_stays_as_it_is(tmp_path, text):
    path = keep(tmp_path, text)

    if text == "a" * 43 + "=":
        assert keys_of(tmp_path) == [text]
        return
    with pytest.raises(SettingError) as refusal:
        keys_of(tmp_path)
    assert path.read_text() == text
    assert "\n" not in str(refusal.value) and (text.strip() or "…") not in str(refusal.value)


def test_a_malformed_setting_is_refused_without_showing_it(tmp_path):
    with pytest.raises(SettingError, match="key 2 of 2") as refusal:
        keys_of(tmp_path, SECRET_KEY=f"{Fernet.generate_key().decode()},hunter2")
    assert "hunter2" not in str(refusal.value)


def test_a_link_a_folder_and_a_pipe_are_refused(tmp_path):
    target = keep(tmp_path, Fernet.generate_key().decode()).rename(tmp_path / "elsewhere")
    path = tmp_path / "secrets"
    path.symlink_to(target)
    with pytest.raises(SettingError, match="symbolic link"):
        keys_of(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(SettingError, match="not a plain file"):
        keys_of(tmp_path)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(SettingError, match="not a plain file"):
        keys_of(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(tmp_path):
    os.chown(keep(tmp_path, Fernet.generate_key().decode()), 12345, -1)

    with pytest.raises(SettingError, match="belongs to another user"):
        keys_of(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingError, match="cannot be"):
        keys_of(Path(tmp_path / "file" / "data"))
