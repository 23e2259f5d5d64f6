"""The load: the real product on a core of its own, and a generator on the other that counts what came back."""
