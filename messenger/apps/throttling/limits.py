"""How often what may be done: the buckets of this process, decided upon at once and without waiting.

Where several processes share their limits, what was spent is told to a store afterwards (see limit_sync.py), and its
answer says what all have spent together. A person who draws deep is told of at once. With several workers only a tenth
of a bucket may be spent untold; more waits for the answer. So each further worker makes a burst a tenth larger at most.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil

from messenger.apps.throttling.bucket import HAIR, Rule
from messenger.apps.throttling.stores import KEPT, Spending
from messenger.errors import Quota, TooManyRequests
from messenger.settings import Rate, ThrottlingSettings

Who = int | str  # a person, or an address where nobody signed in
Go = Callable[[], None]
Refuse = Callable[[TooManyRequests], None]

DELAY = 5.0  # seconds that a request is held back at most, where it is delayed and not refused
MOST_BUCKETS = 100_000  # that are not full; beyond that the oldest are taken for full
MOST_WAITING = 1000  # requests of one person that wait for the store
LIGHT = 0.1  # of a bucket: less is told some seconds later, and so much may be spent before the others are heard


@dataclass(slots=True)
class Owed:
    """Spent here and not told yet, in seconds of refilling, and since when."""

    seconds: float
    since: float


class Limit:
    def __init__(self, name: str, rate: Rate, *, patience: float = 0.0, clock: Callable[[], float] = time.monotonic):
        self.name = name
        self.rule = Rule.of(rate)
        self.quota = Quota(name, rate.tokens, max(1, ceil(self.rule.span)))
        self.refused = 0
        self._patience = patience
        self._clock = clock
        self._full_at: dict[Who, float] = {}  # of buckets that are not full, or were not when last looked at
        self._at_once = self.rule.span + HAIR
        self.waits = False  # for the others, where a burst draws deep
        self._tell: Callable[[], None] | None = None
        self._owed: dict[Who, Owed] = {}
        self._in_flight: dict[Who, float] = {}
        self._urgent: dict[Who, None] = {}
        self._queues: dict[Who, deque[tuple[Go, Refuse]]] = {}  # of those who wait for the store
        self._delayed: dict[Who, deque[tuple[float, Go]]] = {}  # and for their moment

    def share(self, tell: Callable[[], None]) -> None:
        """From now on others spend from the same buckets. `tell`: called when somebody is to be told of at once."""
        self._tell = tell
        self._at_once = max(self.rule.interval, LIGHT * self.rule.span) + HAIR

    def passes(self, who: Who) -> bool:
        """Spend a token, if that needs no thought; else `ask`, or `enter`."""
        if (self._queues and who in self._queues) or (self._delayed and who in self._delayed):
            return False
        now = self._clock()
        full_at = self.rule.spend(self._full_at.get(who, 0.0), now)
        if full_at - now > self._at_once:
            return False
        self._keep(who, full_at, now)
        return True

    def ask(self, who: Who, go: Go, refuse: Refuse) -> None:
        """One of the two is called, now or later, in the order of the asking."""
        queue = self._queues.get(who)
        if queue is None and self._decide(who, go, refuse):
            return
        if queue is None:
            queue = self._queues[who] = deque()
        if len(queue) < MOST_WAITING:
            queue.append((go, refuse))
        else:
            refuse(self._too_much(self.rule.interval))

    async def enter(self, who: Who) -> None:
        """Returns when it may be done. Raises TooManyRequests."""
        if self.passes(who):
            return
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def refuse(error: TooManyRequests) -> None:
            if not answer.done():
                answer.set_exception(error)

        self.ask(who, lambda: None if answer.done() else answer.set_result(None), refuse)
        await answer

    def look(self, who: Who) -> None:
        """Raises TooManyRequests where to ask would be in vain."""
        delay = self.rule.delay(self._full_at.get(who, 0.0), self._clock())
        if delay > self._patience:
            raise self._too_much(delay - self._patience)

    def state(self, who: Who) -> tuple[int, int]:
        """Tokens left, and the seconds until there is one more."""
        left, more = self.rule.state(self._full_at.get(who, 0.0), self._clock())
        return left, ceil(more)

    def sweep(self) -> None:
        now = self._clock()
        self._full_at = {who: full_at for who, full_at in self._full_at.items() if full_at > now}
        # While no store answers: such people have spent nothing of what they may spend now.
        since = now - KEPT
        self._owed = {who: owed for who, owed in self._owed.items() if who in self._full_at or owed.since > since}

    def __len__(self) -> int:
        return len(self._full_at)

    def _decide(self, who: Who, go: Go, refuse: Refuse) -> bool:
        """False: the others must be heard first."""
        now = self._clock()
        full_at = self._full_at.get(who, 0.0)
        delay = self.rule.delay(full_at, now)
        if delay > self._patience:
            refuse(self._too_much(delay - self._patience))
            return True
        if self._tell is not None:
            self._urgent[who] = None
            self._tell()
            if self.waits and self._untold(who) + self.rule.interval > self._at_once:
                return False
        self._keep(who, self.rule.spend(full_at, now), now)
        if delay > 0 or who in self._delayed:
            self._go_later(who, now + delay, go)
        else:
            go()
        return True

    def _go_later(self, who: Who, moment: float, go: Go) -> None:
        """In the order of the asking, whatever becomes of the bucket meanwhile."""
        waiting = self._delayed.setdefault(who, deque())
        waiting.append((moment, go))
        if len(waiting) == 1:
            self._wake_at(who, moment)

    def _wake_at(self, who: Who, moment: float) -> None:
        asyncio.get_running_loop().call_later(moment - self._clock(), self._let_go, who)

    def _let_go(self, who: Who) -> None:
        waiting = self._delayed[who]
        _, go = waiting.popleft()
        if waiting:
            self._wake_at(who, waiting[0][0])
        else:
            del self._delayed[who]
        go()

    def _too_much(self, seconds: float) -> TooManyRequests:
        self.refused += 1
        return TooManyRequests("Too much at once; go on a little later.", retry_after=seconds, quota=self.quota)

    def _keep(self, who: Who, full_at: float, now: float) -> None:
        if len(self._full_at) >= MOST_BUCKETS and who not in self._full_at:
            self._make_room()
        self._full_at[who] = full_at
        if self._tell is not None:
            owed = self._owed.get(who)
            if owed is None:
                self._owed[who] = Owed(self.rule.interval, now)
            else:
                owed.seconds += self.rule.interval

    def _make_room(self) -> None:
        self.sweep()
        for who in list(islice(self._full_at, max(0, len(self._full_at) - MOST_BUCKETS // 2))):
            del self._full_at[who]

    # --- with the others

    def _untold(self, who: Who) -> float:
        owed = self._owed.get(who)
        return self._in_flight.get(who, 0.0) + (owed.seconds if owed is not None else 0.0)

    def take_owed(self, most: int, everything: bool) -> dict[Who, Spending]:
        """What is to be told now, and is then taken for told."""
        now = self._clock()
        names = list(islice(self._urgent, most))
        if everything:
            others = (who for who in self._owed if who not in self._urgent)
            names += islice(others, most - len(names))
        taken = {}
        for who in names:
            self._urgent.pop(who, None)
            owed = self._owed.pop(who, None)
            if owed is not None:
                # Of a store that was away for long nobody is to pay for what has come back meanwhile.
                age = min(now - owed.since, KEPT)
                taken[who] = Spending(min(owed.seconds, self.rule.span + age), age)
                self._in_flight[who] = taken[who].seconds
        return taken

    def hear(self, who: Who, seconds: float) -> None:
        """Of all together: so long until this bucket is full."""
        self._in_flight.pop(who, None)
        owed = self._owed.get(who)
        missing = max(0.0, seconds) + (owed.seconds if owed is not None else 0.0)
        if missing > 0:
            self._full_at[who] = self._clock() + missing
        else:
            self._full_at.pop(who, None)
        self._release(who)

    def hear_nothing(self) -> None:
        """Nobody answers: what is known here has to do."""
        self.waits = False
        self._in_flight.clear()
        for who in list(self._queues):
            self._release(who)

    def _release(self, who: Who) -> None:
        queue = self._queues.get(who)
        while queue:
            go, refuse = queue[0]
            if not self._decide(who, go, refuse):
                return
            queue.popleft()
        self._queues.pop(who, None)


@dataclass(frozen=True, slots=True)
class Limits:
    send: Limit
    default: Limit

    @classmethod
    def of(cls, rules: ThrottlingSettings) -> "Limits":
        patience = DELAY if rules.mode == "delay" else 0.0
        return cls(Limit("send", rules.send, patience=patience), Limit("default", rules.default, patience=patience))

    def __iter__(self) -> Iterator[Limit]:
        yield self.send
        yield self.default

    @property
    def refused(self) -> int:
        return self.send.refused + self.default.refused
