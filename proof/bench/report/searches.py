"""What a run over a large archive says: each sort of question by its ways, and what was promised about them."""

from collections.abc import Iterator
from typing import Any

from proof.bench.report.tables import number, table, verdicts_of

SOON_MS, TIMES_FASTER, FINDABLE_MS = 50.0, 20.0, 2000.0


def claims(found: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    rare = found["sorts"]["a rare word"]
    took = rare["product"]["p99_ms"]
    yield f"p99 of a rare word ≤ {SOON_MS:.0f} ms", f"{number(took)} ms", took <= SOON_MS
    times = rare["ILIKE"]["p50_ms"] / rare["product"]["p50_ms"]
    yield f"≥ {TIMES_FASTER:.0f} × faster than ILIKE", f"{number(times)} ×", times >= TIMES_FASTER
    worst = found["lag"]["worst_ms"]
    said = f"{number(worst)} ms at {number(found['lag']['acked_per_s'])} sends/s"
    yield f"findable within {FINDABLE_MS / 1000:.0f} s under full load", said, worst <= FINDABLE_MS
    ways = {way for counted in found["plans"].values() for way in counted}
    yield "every question goes through an index", ", ".join(sorted(ways)), not any("Seq Scan" in way for way in ways)


def everything(found: dict[str, Any]) -> str:
    head = ["asked for", "by", "p50 ms", "p99 ms", "hits", "asked"]
    rows = [
        [sort, by, number(one["p50_ms"]), number(one["p99_ms"]), number(one["hits"]), number(one["asked"])]
        for group in (found["sorts"], found["gist"]["sorts"])
        for sort, ways in group.items()
        for by, one in ways.items()
    ]
    sizes = [f"{name} {number(size / 2**20)}" for name, size in sorted(found["sizes"].items())]
    return "\n\n".join(
        [
            f"{found['messages']} messages in {found['chats']} chats; who asks is in {found['mine']} of them."
            f" `product` over HTTP, the others as bare SQL. GiST took {number(found['gist']['built_s'])} s to build.",
            table(head, rows),
            f"MiB: {', '.join(sizes)}.",
            verdicts_of(claims(found)),
        ]
    )
