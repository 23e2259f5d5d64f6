"""What very many idle sockets hold, and what it takes to keep them."""

from typing import Any

from proof.bench.report.tables import number, table


def everything(found: dict[str, Any]) -> str:
    head = ["idle sockets", "of", "KiB a socket", "MiB before", "MiB after", "openings/s", "server CPU", "others"]
    rows = [
        [
            f"{one['sockets']:,}",
            by,
            *(number(one[name]) for name in ("kib_a_socket", "before_mib", "after_mib", "openings_per_s")),
            f"{one['idle_share']['server']:.1%}",
            number(one["others_share"]),
        ]
        for by, one in found["of"].items()
    ]
    said = [f"VOID: {by}: {fault}" for by, one in found["of"].items() for fault in one["void"]]
    if (most := max(one["sockets"] for one in found["of"].values())) < found["wanted"]:
        said.append(f"NOT MEASURED: {found['wanted']:,} sockets; the limit of open files here leaves {most:,}.")
    return "\n\n".join([table(head, rows), *said])
