"""Names, words and moments as people write and read them: which are sane, and when two names are the same name."""

import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH, MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
SECONDS, MILLISECONDS = [f"{one:02}" for one in range(60)], [f".{one:03}Z" for one in range(1000)]
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def name_key(name: str) -> str:
    """Two names with one key are the same name: `Ann`, ` ann ` and full-width `ＡＮＮ`."""
    folded = unicodedata.normalize("NFKC", name).strip().casefold()
    # Folding can undo the normal form (and the reverse), so it is brought back to it.
    return unicodedata.normalize("NFKC", folded)


def is_sane_name(name: str) -> bool:
    """Shows something, and cannot turn the line around it or break it."""
    if any(unicodedata.category(char) in {"Cc", "Cs"} or char in BIDI_CONTROLS for char in name):
        return False
    return has_content(name)


def has_content(text: str) -> bool:
    """Is there anything to see? Spaces, format characters and unassigned ones alone are nothing."""
    if text[:1].isalnum():  # as nearly always
        return True
    return any(not char.isspace() and unicodedata.category(char) not in {"Cf", "Cc", "Mn", "Cn"} for char in text)


def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds and Z."""
    return rfc3339_ms((moment - EPOCH) // MILLISECOND)


def rfc3339_ms(milliseconds: int) -> str:
    """The same, of milliseconds since 1970. Messages of one page are of few minutes."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_minute(seconds // 60)}{SECONDS[seconds % 60]}{MILLISECONDS[rest]}"


@lru_cache(maxsize=4096)
def _minute(minute: int) -> str:
    return f"{datetime.fromtimestamp(minute * 60, UTC):%Y-%m-%dT%H:%M:}"
