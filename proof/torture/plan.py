"""What is sent and what breaks, all of it from one seed: the same seed plans the same run, on every machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random

CHATS = 8
DOOR = 7  # the chat through whose door people come and go
# Who speaks where: six by sockets with many sends under way, two by requests. Every chat has several speakers.
SOCKETS = ((0, 1, 7), (1, 2, 7), (2, 3), (3, 4), (4, 5), (5, 0))
REQUESTS = ((6, 7), (6, 2))
SPEAKERS = SOCKETS + REQUESTS
SHARE_OF_REQUESTS = 0.05
ONE_FLAWED_OF = 60
ONE_LONG_OF = 40
ONE_WAKING = 0.1
LONG = 4096
THE_END = "the end"
FLAWS = ("stranger", "too long", "empty", "conflict")

KILLS = ("kill worker", "kill server", "kill postgres")
EVERYWHERE = (
    *KILLS, "stop worker", "stop backends", "slow line", "cut line", "silent line", "swallowed answers",
    "slow database", "cut database", "silent database", "swallowed commits", "rolling restart",
    "kick", "logout", "ambiguous",
)  # fmt: skip
OF_A_WIRE = {
    "none": (),  # its doorbells are all lost, always
    "postgres": ("lost doorbells",),
    "redis": ("lost doorbells", "cut redis", "silent redis", "kill redis"),
}
OF_WORKERS = ("kill writer", "stop writer", "lost lock")  # where several of a process share one that writes
WORDS = "pizza чай 🍕 lunch at one? да нет maybe \\ \" ' < & ünïcödé  two  spaces".split(" ")


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be said; `flaw`: why it has to be refused. A `conflict` takes the key of an earlier draft."""

    number: int
    chat: int
    length: int
    flaw: str = ""
    key_of: int = 0

    @property
    def text(self) -> str:
        if self.flaw == "empty":
            return " " * (self.number % 7)
        words = f"{self.number} {WORDS[self.number % len(WORDS)]} "
        if self.flaw == "too long":
            return words.ljust(LONG + 1, "x")
        return (words + WORDS[self.number * 7 % len(WORDS)] * 400)[: self.length].strip()

    @property
    def key(self) -> str:
        return f"k{self.key_of or self.number}"


@dataclass(frozen=True, slots=True)
class LastWords(Draft):
    """What everybody waits for."""

    @property
    def text(self) -> str:
        return THE_END


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    process: int  # the one that is hit, or first
    after: float  # which part of the act's sends is answered by then
    seconds: float  # how long it lasts, where it lasts


@dataclass(frozen=True, slots=True)
class Act:
    """One fault, and what everybody says around it."""

    number: int
    fault: Fault
    drafts: tuple[tuple[Draft, ...], ...]  # by speaker
    wakes: bool  # the sleeper, away for many acts, comes back after this one


class Plan:
    def __init__(
        self, seed: int, wire: str, *, sends_per_act: int, ambiguous_per_act: int = 500, workers: int = 1
    ) -> None:
        self.seed = seed
        self.wire = wire
        self.sends_per_act = sends_per_act
        self.ambiguous_per_act = ambiguous_per_act
        self.workers = workers  # of each process

    def random(self, purpose: str) -> Random:
        return Random(f"{self.seed} {self.wire} {purpose}")  # noqa: S311

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        return EVERYWHERE + OF_A_WIRE[self.wire] + (OF_WORKERS if self.workers > 1 else ())

    def acts(self) -> Iterator[Act]:
        """Without end. Each kind of fault comes once before any comes again."""
        faults, sends = self.random("faults"), self.random("sends")
        said: list[list[Draft]] = [[] for _ in SPEAKERS]
        number, first = 0, 1
        while True:
            for kind in faults.sample(self.kinds, len(self.kinds)):
                fault = Fault(kind, faults.randrange(2), faults.uniform(0.1, 0.7), faults.uniform(0.4, 1.6))
                drafts = tuple(
                    tuple(self._drafts(sends, speaker, first + at, said[at])) for at, speaker in enumerate(SPEAKERS)
                )
                number += 1
                yield Act(number, fault, drafts, faults.random() < ONE_WAKING)
                first += len(SPEAKERS) * self.sends_per_act

    def _drafts(self, choice: Random, chats: tuple[int, ...], first: int, said: list[Draft]) -> Iterator[Draft]:
        """Numbers are dealt in steps, so that speakers never share one."""
        by_requests = int(self.sends_per_act * SHARE_OF_REQUESTS)
        share = (
            by_requests // len(REQUESTS) if chats in REQUESTS else (self.sends_per_act - by_requests) // len(SOCKETS)
        )
        new: list[Draft] = []
        for at in range(share):
            number = first + at * len(SPEAKERS)
            length = LONG if choice.randrange(ONE_LONG_OF) == 0 else choice.randrange(12, 200)
            draft = Draft(number, choice.choice(chats), length)
            if choice.randrange(ONE_FLAWED_OF) == 0:
                yield self._flawed(choice, chats, draft, said)
            else:
                new.append(draft)
                yield draft
        said[:] = new or said

    def _flawed(self, choice: Random, chats: tuple[int, ...], draft: Draft, said: list[Draft]) -> Draft:
        flaw = choice.choice(FLAWS)
        if flaw == "conflict" and said:
            first = choice.choice(said)
            return Draft(draft.number, first.chat, draft.length, flaw, first.number)
        if flaw == "stranger":
            strange = choice.choice([one for one in range(CHATS) if one not in chats])
            return Draft(draft.number, strange, draft.length, flaw)
        return Draft(draft.number, draft.chat, draft.length, "too long" if flaw == "conflict" else flaw)

    def cuts(self, listener: str) -> Iterator[int]:
        """After how many events this listener pulls its plug, connection by connection, without end."""
        choice = self.random(f"cuts of {listener}")
        while True:
            yield choice.randrange(1, max(3, int(1.4 * self.sends_per_act)))
