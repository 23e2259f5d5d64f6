"""What a person at a terminal is told: where the server is, what runs in it, how it ended. Only what is true."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import messenger
from messenger.settings import Config, Mode


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What only the checks have found out."""

    apps: tuple[str, ...]
    postgres: str
    schema: str
    has_accounts: bool


EVERYWHERE = {"0.0.0.0", "::", ""}


def banner(config: Config, facts: RunFacts, seconds: float) -> str:
    host = config.server.host
    url = address(config)
    database = "private PostgreSQL" if config.database.is_private else "your PostgreSQL"
    audience = "for this machine only" if is_loopback(host) else "for everybody who can reach this machine"
    title = [f"Messenger {messenger.__version__}", database, audience]
    if config.mode is not Mode.STANDARD:
        title.append(f"mode {config.mode}")
    lines = []
    if "client" in facts.apps:
        lines.append(f"Chat page    {url}/")
    if "docs" in facts.apps:
        lines.append(f"API docs     {url}/docs")
    if "auth" in facts.apps:
        lines.append(f"Sign up      POST {url}/v1/auth/register")
    if "ws" in facts.apps:
        lines.append(f"WebSocket    {url.replace('http', 'ws', 1)}/v1/ws   sub-protocol messenger.v1")
    if "health" in facts.apps:
        lines.append("Health       /ping  /healthz  /readyz")
    if "metrics" in facts.apps:
        lines.append("Metrics      /metrics")
    where = f" in {_short(config.data_dir / 'pg')} (socket only)" if config.database.is_private else ""
    lines += [
        f"Database     PostgreSQL {facts.postgres}{where} · schema {facts.schema}",
        f"Sub-apps     {' '.join(facts.apps)}   (messenger-api --apps)",
        f"Settings     {sources(config)}   (messenger-api --print-config)",
        f"Logs         {_short(config.log_dir)}",
    ]
    if "auth" in facts.apps and not facts.has_accounts:
        lines += ["", f"Next         {first_step(facts.apps)}"]
    body = "".join(f"  {line}".rstrip() + "\n" for line in lines)
    return f"{' · '.join(title)}\n\n{body}\n  Ready in {seconds:.1f} s. Ctrl+C stops, twice forces.\n"


def first_step(apps: Collection[str]) -> str:
    """Where nobody can sign in yet."""
    seed = "messenger-admin seed makes demo people test1@test.com … test3@test.com, password test"
    return f"open the page and register; or {seed}" if "client" in apps else seed


def address(config: Config) -> str:
    """Where a browser on this machine finds the server."""
    host = config.server.host
    shown = "127.0.0.1" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{config.server.port}"


def farewell(requests_cut: int, database: str, seconds: float) -> str:
    cut = f"{requests_cut} request{'' if requests_cut == 1 else 's'} cut"
    return f"Stopping… {cut}, {database}. {seconds:.1f} s"


def sources(config: Config) -> str:
    counted = Counter("files" if source.startswith("file ") else source for source in config.sources.values())
    if not counted:
        return "all defaults"
    named = {"flag": "by flag", ".env": "from .env", "environment": "from environment", "files": "from files"}
    return ", ".join(f"{count} {named[source]}" for source, count in counted.items()) + ", the rest defaults"


def is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def _short(path: Path) -> str:
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
