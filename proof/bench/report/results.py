"""What a run measured, round by round, and the medians of it."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass
class Results:
    about: dict[str, Any]
    rounds: defaultdict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, key: str, figures: dict[str, Any]) -> None:
        self.rounds[key].append(figures)

    def figure(self, key: str, number: int, *path: str) -> float | None:
        """Of one round; None: it is void there, or was not measured."""
        rounds = self.rounds.get(key, [])
        found: Any = rounds[number] if number < len(rounds) else None
        if found is None or found.get("void"):
            return None
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return None if found is None else float(found)

    def all(self, key: str, *path: str) -> list[float]:
        """One figure of every round in which it is not void."""
        found = (self.figure(key, number, *path) for number in range(len(self.rounds.get(key, ()))))
        return [value for value in found if value is not None]

    def median(self, key: str, *path: str) -> float | None:
        found = self.all(key, *path)
        return median(found) if found else None

    def is_tool_bound(self, key: str) -> bool:
        return any(figures.get("tool_bound") for figures in self.rounds.get(key, ()))

    def others(self) -> float:
        """The share of the machine that somebody else used meanwhile, as a median over everything."""
        found = [
            one["others_share"] for some in self.rounds.values() for one in some if one.get("others_share") is not None
        ]
        return median(found) if found else 0.0

    def notes(self) -> list[str]:
        """Why something was not measured, each reason once."""
        return list(dict.fromkeys(one["note"] for some in self.rounds.values() for one in some if "note" in one))

    def voids(self) -> list[str]:
        return [f"{key}: {fault}" for key, some in self.rounds.items() for one in some for fault in one.get("void", ())]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"about": self.about, "rounds": self.rounds}, indent=1))

    @classmethod
    def read(cls, path: Path) -> "Results":
        kept = json.loads(path.read_text())
        return cls(kept["about"], defaultdict(list, kept["rounds"]))
