"""What all commands share: exit codes, and how an error is printed: a few sentences and no traceback."""

import sys
from collections.abc import Callable

from messenger.db.private.binaries import EmbeddedError
from messenger.settings import SettingError

OTHER, USAGE, NO_DATABASE, SCHEMA, PORT_BUSY = 1, 2, 3, 4, 5


class Refusal(Exception):
    """The command cannot do its work: an exit code and at most three sentences, the last one a way out."""

    def __init__(self, code: int, *sentences: str) -> None:
        super().__init__(code, *sentences)
        self.code = code
        self.sentences = sentences


def run_cli(act: Callable[[], int]) -> int:
    """The exit code of `act`, or of what kept it from its work."""
    try:
        return act()
    except SettingError as error:
        return print_error(USAGE, str(error), "See all settings: messenger-api --print-config")
    except EmbeddedError as error:
        return print_error(NO_DATABASE, str(error))
    except Refusal as refusal:
        return print_error(refusal.code, *refusal.sentences)
    except KeyboardInterrupt:
        return OTHER


def print_error(code: int, *sentences: str) -> int:
    print(*sentences, sep="\n", file=sys.stderr)
    return code
