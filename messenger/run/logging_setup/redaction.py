"""Hides secrets in what is logged."""

import re

HIDDEN = "[hidden]"
# A second net: what we log on purpose holds no secret, what a library logs may. Where a word may begin with anything,
# it is looked for at the beginning of a word only, or a long word would be read once for each of its letters.
SECRETS = re.compile(
    r"""(?ix)
    (?P<name> authorization | cookie | (?<![\w-]) [\w-]* password | passwd | session_id | (?<![\w-]) [\w-]* token
            | ticket | \#link | secret[\w-]* )
    (?P<link> ["']? \s* [:=] \s* ["']? (?: (?:session_id|bearer|basic) \s+ )? )
    [^\s"',;&)}\]]+
    """
)
BEARER = re.compile(r"(?i)\b(session_id|bearer|basic)\s+(?!realm=)[\w.~+/=-]{8,}")
PASSWORD_IN_URL = re.compile(r"(?i)\b(\w+://[^\s:/@]*):[^\s@/]+@")
# Each of the three needs one of these behind its name.
LINKS = re.compile(r"[:=\s]")


def hide_secrets(text: str) -> str:
    if text.isalnum() or LINKS.search(text) is None:
        return text
    text = SECRETS.sub(rf"\g<name>\g<link>{HIDDEN}", text)
    text = BEARER.sub(rf"\1 {HIDDEN}", text)
    return PASSWORD_IN_URL.sub(rf"\1:{HIDDEN}@", text)
