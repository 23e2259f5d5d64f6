"""One thing under several names: answers show it under one, and older clients say another."""

from typing import TypeVar

from msgspec import UNSET, UnsetType

from messenger.errors import BadParameters, Flaw

T = TypeVar("T")


def find(**given: T | UnsetType | None) -> tuple[str, T] | None:
    """The name that was used and the value. Two different values are a mistake; None: it was not named at all."""
    said = [(name, value) for name, value in given.items() if value is not None and value is not UNSET]
    for name, value in said[1:]:
        if value != said[0][1]:
            detail = f"is another name for {said[0][0]}, and differs from it here"
            raise BadParameters(f"/{name}: {detail}.", flaws=[Flaw(f"/{name}", detail)])
    return said[0] if said else None


def take(**given: T | UnsetType | None) -> tuple[str, T]:
    """The same where it is required."""
    found = find(**given)
    if found is None:
        name = next(iter(given))
        raise BadParameters(f"/{name}: is required.", flaws=[Flaw(f"/{name}", "is required")])
    return found
