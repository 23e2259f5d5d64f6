"""The keys of this installation: SECRET_KEY, else DATA_DIR/secrets, made once and never made again by itself.

The first key encrypts and signs, the others still open what was made under them. One key per line in the file.
"""

import errno
import os
import secrets
import stat
from pathlib import Path

from cryptography.fernet import Fernet

from messenger.settings import Config, SettingError

FILE = "secrets"
LARGEST = 64 * 1024


def load_keys(config: Config) -> list[str]:
    """Safe to call from several processes at once: all of them end with the same keys."""
    if config.auth.secret_key:
        return _checked(str(config.auth.secret_key).split(","), "SECRET_KEY")
    path = config.data_dir / FILE
    for _ in range(2):
        text = _read(path)
        if text is not None:
            return _checked(text.splitlines(), str(path))
        _make(path)
    raise SettingError(f"The key file {path} disappears as soon as it is made.")


def _checked(entries: list[str], source: str) -> list[str]:
    keys = [entry.strip() for entry in entries if entry.strip()]
    if not keys:
        raise SettingError(f"{source} holds no key; restore it, or remove it to sign everybody out and start anew.")
    for number, key in enumerate(keys, 1):
        try:
            Fernet(key)
        except ValueError:
            raise SettingError(
                f"{source}: key {number} of {len(keys)} is not a Fernet key (32 bytes in URL-safe base64)."
            ) from None
    return keys


def _read(path: Path) -> str | None:
    """None: there is no file. Anything that others could have read or planted is refused."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SettingError(f"The key file {path} is a symbolic link; a plain file is expected.") from None
        raise SettingError(f"The key file {path} cannot be read: {error.strerror}.") from None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise SettingError(f"The key file {path} is not a plain file.")
        if facts.st_uid != os.geteuid():
            raise SettingError(f"The key file {path} belongs to another user (uid {facts.st_uid}).")
        if stat.S_IMODE(facts.st_mode) & 0o077:
            raise SettingError(f"The key file {path} is open to others; run: chmod 600 {path}")
        try:
            return os.read(handle, LARGEST).decode("ascii")
        except UnicodeDecodeError:
            raise SettingError(f"The key file {path} does not hold Fernet keys.") from None
    finally:
        os.close(handle)


def _make(path: Path) -> None:
    """Complete or not there at all: written aside, flushed to disk, then linked; who comes second keeps the first."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{FILE}-{secrets.token_hex(8)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(Fernet.generate_key() + b"\n")
                file.flush()
                os.fsync(handle)
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        _flush(path.parent)
    except OSError as error:
        raise SettingError(f"The key file {path} cannot be made: {error.strerror}.") from None


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
