"""What comes in as JSON, and what is wrong with it."""

import re

import msgspec
from msgspec import UNSET, UnsetType

from messenger import synonyms
from messenger.apps.auth.values import Device
from messenger.errors import BadParameters, Flaw
from messenger.text import is_sane_name, name_key

SHORTEST_NAME, LONGEST_NAME = 2, 255
LONGEST_EMAIL = 254
LONGEST_KEY = 2 * LONGEST_NAME  # fits into an index row, whatever the script
LONGEST_ABOUT = 1024
LONGEST_CLIENT_ID = 64
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+")


class Registration(msgspec.Struct, frozen=True):
    password: str
    user_name: str | None = None
    login: str | None = None
    email: str | None = None

    @property
    def name(self) -> str:
        return synonyms.take(user_name=self.user_name, login=self.login)[1]


class SignIn(msgspec.Struct, frozen=True):
    """`username` is the word of OAuth's form."""

    password: str
    user_name: str | None = None
    login: str | None = None
    username: str | None = None
    email: str | None = None
    client_id: str | None = None
    device_name: str | None = None

    @property
    def name(self) -> str:
        named = synonyms.find(user_name=self.user_name, login=self.login, username=self.username)
        return (named or synonyms.take(user_name=self.email))[1]

    @property
    def device(self) -> Device:
        return _device(self.client_id, self.device_name)


class LinkSignIn(msgspec.Struct, frozen=True):
    token: str
    client_id: str | None = None
    device_name: str | None = None

    @property
    def device(self) -> Device:
        return _device(self.client_id, self.device_name)


def _device(client_id: str | None, name: str | None) -> Device:
    flaws = label_flaws(client_id, "/client_id", LONGEST_CLIENT_ID)
    refuse(flaws + label_flaws(name, "/device_name", LONGEST_NAME))
    return Device(client_id or None, name or None)


class Refresh(msgspec.Struct, frozen=True):
    refresh_token: str


class PasswordChange(msgspec.Struct, frozen=True):
    current_password: str
    new_password: str


class ProfileChange(msgspec.Struct, frozen=True):
    """What is absent stays; `null` takes the e-mail away."""

    user_name: str | UnsetType = UNSET
    login: str | UnsetType = UNSET
    email: str | None | UnsetType = UNSET
    display_name: str | UnsetType = UNSET
    about: str | UnsetType = UNSET

    @property
    def columns(self) -> dict[str, str | None]:
        changes: dict[str, str | None] = {}
        flaws = label_flaws(self.display_name, "/display_name", LONGEST_NAME)
        if isinstance(self.about, str) and len(self.about) > LONGEST_ABOUT:
            flaws.append(Flaw("/about", f"must have at most {LONGEST_ABOUT} characters"))
        named = synonyms.find(user_name=self.user_name, login=self.login)
        if named is not None:
            word, name = named
            flaws += name_flaws(name, f"/{word}")
            changes |= {"name": name.strip(), "name_key": name_key(name)}
        if self.email is not UNSET:
            flaws += email_flaws(self.email or None)
            email = self.email.strip() if self.email else None
            changes |= {"email": email, "email_key": name_key(email) if email is not None else None}
        if self.display_name is not UNSET:
            changes["display_name"] = self.display_name
        if self.about is not UNSET:
            changes["about"] = self.about
        refuse(flaws)
        return changes


def refuse(flaws: list[Flaw]) -> None:
    if flaws:
        raise BadParameters(f"{flaws[0].pointer}: {flaws[0].detail}.", flaws=flaws)


def name_flaws(name: str, pointer: str = "/user_name") -> list[Flaw]:
    """The spaces around are no part of a name; what folds into something far longer is not one either."""
    if (
        not SHORTEST_NAME <= len(name.strip()) <= LONGEST_NAME
        or not SHORTEST_NAME <= len(name_key(name)) <= LONGEST_KEY
    ):
        return [Flaw(pointer, f"must have {SHORTEST_NAME} to {LONGEST_NAME} characters")]
    if not is_sane_name(name):
        return [Flaw(pointer, "holds characters that a name must not have")]
    return []


def email_flaws(email: str | None) -> list[Flaw]:
    if email is None:
        return []
    if len(email) > LONGEST_EMAIL or not EMAIL.fullmatch(email.strip()) or not is_sane_name(email):
        return [Flaw("/email", "is not an e-mail address")]
    return []


def label_flaws(label: str | UnsetType | None, pointer: str, longest: int) -> list[Flaw]:
    """Of names that need not be there."""
    if isinstance(label, str) and label and (len(label) > longest or not is_sane_name(label)):
        return [Flaw(pointer, f"must be a name of at most {longest} characters")]
    return []
