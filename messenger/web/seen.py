"""Tells a second time from a first. What is asked for once need not be kept. Bounded: two generations."""

MOST = 50_000


class Seen:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._young: set[int] = set()
        self._old: set[int] = set()

    def again(self, name: object) -> bool:
        """Was it named here before? Only its hash is kept, so it can be wrong once in a very long time."""
        mark = hash(name)
        if mark in self._young or mark in self._old:
            return True
        self._young.add(mark)
        if len(self._young) > self._most:
            self._young, self._old = set(), self._young
        return False
