"""Buckets by arithmetic: so many tokens at once, so many back in a second. Knows no clock, person or request.

A bucket is one number: the moment when it will be full again. Every token that is missing is some time until then, so
nothing has to be refilled, and a bucket that is full need not be kept at all.
"""

from dataclasses import dataclass

from messenger.settings import Rate

HAIR = 1e-6  # seconds: a request exactly in time must not fail by the last digit of a float


@dataclass(frozen=True, slots=True)
class Rule:
    tokens: int
    per_second: float
    interval: float  # seconds until one token is back
    span: float  # seconds until all of them are

    @classmethod
    def of(cls, rate: Rate) -> "Rule":
        return cls(rate.tokens, rate.per_second, 1 / rate.per_second, rate.tokens / rate.per_second)

    def spend(self, full_at: float, now: float) -> float:
        """When it is full again, with a token less; it may be overdrawn: see `delay`."""
        return (full_at if full_at > now else now) + self.interval

    def delay(self, full_at: float, now: float) -> float:
        """Seconds until there is a token to spend."""
        return max(0.0, self.spend(full_at, now) - now - self.span - HAIR)

    def state(self, full_at: float, now: float) -> tuple[int, float]:
        """Whole tokens left, and the seconds until there is one more."""
        missing = (full_at - now) * self.per_second
        if missing <= 0:
            return self.tokens, 0.0
        left = self.tokens - missing
        whole = int(left + HAIR) if left > 0 else 0
        return whole, (whole + 1 - left) * self.interval
