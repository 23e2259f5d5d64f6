"""D10: memberships, which begin and end at positions of the log."""

from collections.abc import Iterator
from itertools import pairwise

from proof.torture.history import History, Interval
from proof.torture.journal import Gap, Page


def leaked(history: History) -> Iterator[str]:
    """After a removal nothing of the chat reaches the removed, by any way, and nothing of theirs is stored."""
    for (user, chat), intervals in history.memberships_of.items():
        if any(one.removed is not None for one in intervals):
            yield from heard_outside(history, user, chat, intervals)
            yield from read_outside(history, user, chat, intervals)
            yield from said_outside(history, user, chat, intervals)


def heard_outside(history: History, user: int, chat: int, intervals: list[Interval]) -> Iterator[str]:
    for line in history.lines.values():
        if line.opened.user != user:
            continue
        for _, one in line.heard:
            if isinstance(one, Gap) or one.chat != chat:
                continue
            if not any(each.joined <= one.position <= (each.removed or one.position) for each in intervals):
                yield f"{line.opened.listener or user} heard {one.position} of {chat}, where it was no member"


def read_outside(history: History, user: int, chat: int, intervals: list[Interval]) -> Iterator[str]:
    """A page shows no more than the last membership that had been asked for when it was answered."""
    changes = [(at, one) for at, one in history.memberships if (one.chat, one.user) == (chat, user)]
    joins = [one.since for _, one in changes if one.joins and one.status in {200, 201, 409}]
    removals = [at for at, one in changes if not one.joins and one.status in {204, 404}]

    def is_out(at: int, page: Page) -> bool:
        removed = max((each for each in removals if each < page.since), default=None)
        return removed is not None and not any(removed < each < at for each in joins)

    for at, page in history.pages:
        if (page.chat, page.user, page.status) != (chat, user, 200):
            continue
        if is_out(at, page):
            yield f"a page of {chat} was shown to {user} after the answer to its removal (line {at})"
        known = intervals[: sum(each < at for each in joins)]
        limit = known[-1].removed if known else 0
        if limit is not None and page.rows and page.rows[-1][1] > limit:
            yield f"a page showed {page.rows[-1][1]} of {chat} to {user}, removed at {limit} (line {at})"


def said_outside(history: History, user: int, chat: int, intervals: list[Interval]) -> Iterator[str]:
    forever = Interval(chat, history.ledger.head + 1, None)
    for one, following in pairwise([*intervals, forever]):
        if one.removed is not None:
            for row in history.between(chat, one.removed, following.joined):
                if row.sender == user:
                    yield f"{chat}/{row.seq} is by {user}, who was no member then"
