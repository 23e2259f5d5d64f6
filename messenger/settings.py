"""Config: every knob with its default and its reason, read once at start from flags, environment and `.env`.

The class itself carries the defaults (`Config.Auth.token_type`), an instance carries what was read
(`config.auth.token_type`). Nothing else in the package looks at the environment.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_type_hints
from urllib.parse import quote, urlsplit

from dotenv import dotenv_values

T = TypeVar("T")


class SettingError(ValueError):
    """A setting that cannot be used: its name, its value and what was expected."""


class Mode(StrEnum):
    DEV = "dev"
    STANDARD = "standard"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many tokens at once, and so many back in a second. `10/1s` is the older form of `burst=10,rate=1/s`."""

    tokens: int
    per_second: float

    @classmethod
    def parse(cls, raw: str) -> "Rate":
        number = r"([0-9]{0,9}(?:\.[0-9]{1,6})?)"
        found = re.fullmatch(rf"burst=([0-9]{{1,9}})[, ]\s*rate={number}/s|([0-9]{{1,9}})/{number}s", raw.strip())
        if found is None:
            raise ValueError(raw)
        rate = cls(int(found[1] or found[3]), float(found[2] or found[4]))
        if rate.tokens < 1 or rate.per_second <= 0:
            raise ValueError(raw)
        return rate

    def __str__(self) -> str:
        return f"burst={self.tokens},rate={f'{self.per_second:.6f}'.rstrip('0').rstrip('.')}/s"


MASK = "********"


class Secret(str):
    """Text that must never be shown: its repr is a mask."""

    def __repr__(self) -> str:
        return "'…'" if self else "''"

    @property
    def masked(self) -> str:
        return MASK if self else ""


class SecretUrl(Secret):
    """An address that may hold a password; the rest of it may be shown."""

    @property
    def masked(self) -> str:
        try:
            parts = urlsplit(self)
        except ValueError:
            return MASK
        account, _, place = parts.netloc.rpartition("@")
        # An @ behind the host may belong to a password: then nobody knows where that begins.
        if "://" not in self or "@" in parts.path + parts.query + parts.fragment:
            return super().masked
        user, colon, _ = account.partition(":")
        netloc = f"{user}{colon and ':' + MASK}@{place}" if account else place
        query = re.sub(r"(?i)\b(\w*(?:pass|pwd|secret|token)\w*=)[^&;]*", rf"\g<1>{MASK}", parts.query)
        return f"{parts.scheme}://{netloc}{parts.path}{query and '?' + query}"


class SecretUrls(Secret):
    """Several addresses with commas between; a comma before no scheme belongs to an address."""

    @property
    def each(self) -> tuple[SecretUrl, ...]:
        return tuple(SecretUrl(one) for one in re.split(r",\s*(?=\w+://)", self))

    @property
    def masked(self) -> str:
        return ",".join(one.masked for one in self.each)


def setting(name: str, default: T, why: str, *, at_least: int = 1) -> T:
    """A field of a group: the variable's name, the default, the reason in one line. `at_least`: if it is a number."""
    return field(default=default, metadata={"name": name, "why": why, "at_least": at_least})


def group(kind: type[T], title: str) -> T:
    return field(default_factory=kind, metadata={"group": title})


def default_data_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_DATA_HOME", "")
    try:
        return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "messenger"
    except RuntimeError:  # a user without a home, as in some containers
        raise SettingError("DATA_DIR is not set, and this user has no home folder: name a folder.") from None


@dataclass(frozen=True)
class ServerSettings:
    host: str = setting("HOST", "0.0.0.0", "Address to listen on; unset with MODE=dev: 127.0.0.1")
    port: int = setting("PORT", 8080, "Port to listen on")
    workers_num: int = setting("WORKERS_NUM", 1, "Worker processes: no more than cores that PostgreSQL leaves idle")
    graceful_timeout: int = setting("GUNICORN_GRACEFUL_TIMEOUT", 10, "Seconds for requests in flight at a stop")
    timeout: int = setting("GUNICORN_TIMEOUT", 30, "Seconds until a silent worker is replaced")
    keepalive: int = setting("GUNICORN_KEEPALIVE", 75, "Seconds an idle HTTP connection is kept")
    backlog: int = setting("GUNICORN_BACKLOG", 2048, "Connections waiting to be accepted")
    trusted_proxies: tuple[str, ...] = setting(
        "TRUSTED_PROXIES", (), "Addresses, networks whose X-Forwarded-For is believed"
    )
    cors_origins: tuple[str, ...] = setting("CORS_ORIGINS", (), "Other origins whose pages may call with cookies")


@dataclass(frozen=True)
class DatabaseSettings:
    url: SecretUrl = setting("DATABASE_URL", SecretUrl(), "Address of PostgreSQL; none: a private one in DATA_DIR")
    direct_url: SecretUrl = setting(
        "DATABASE_DIRECT_URL", SecretUrl(), "The same database past pgbouncer, for LISTEN and migrations"
    )
    hosts: str = setting("POSTGRES_HOSTS", "", "host[:port],… instead of DATABASE_URL")
    user: str = setting("POSTGRES_USER", "messenger", "User for POSTGRES_HOSTS")
    password: Secret = setting("POSTGRES_PWD", Secret(), "Password for POSTGRES_HOSTS")
    name: str = setting("POSTGRES_DB", "messenger", "Database for POSTGRES_HOSTS")
    pool_size: int = setting("DB_POOL_SIZE", 10, "Connections of each worker")
    migrate_on_start: bool | None = setting(
        "MIGRATE_ON_START", None, "Migrate at start; unset: only private PostgreSQL"
    )
    bin_dir: Path | None = setting("POSTGRES_BIN", None, "Folder of private PostgreSQL's programs")

    @property
    def is_private(self) -> bool:
        return not (self.url or self.hosts)

    def dsn(self) -> str:
        """The one address of the database, unless it is private; asyncpg understands several hosts in it."""
        if self.url or not self.hosts:
            return str(self.url)
        password = f":{quote(self.password, safe='')}" if self.password else ""
        leading = "?target_session_attrs=read-write" if "," in self.hosts else ""  # the others are its standbys
        return f"postgresql://{quote(self.user, safe='')}{password}@{self.hosts}/{quote(self.name, safe='')}{leading}"


@dataclass(frozen=True)
class AuthSettings:
    header: str = setting("AUTH_HEADER", "Authorization", "Header with the credential")
    token_type: str = setting("AUTH_TOKEN_TYPE", "session_id", "Word before a session id in that header")
    token_lifetime: int = setting("SESSION_LIFETIME", 3600, "Seconds an unused session lives")
    access_token_ttl: int = setting("ACCESS_TOKEN_TTL", 600, "Seconds a bearer token lives")
    refresh_token_ttl: int = setting("REFRESH_TOKEN_TTL", 1209600, "Seconds a refresh token lives")
    max_sessions_per_user: int = setting(
        "MAX_SESSIONS_PER_USER", 20, "Sessions a person; a login beyond ends the idlest"
    )
    disabled: bool = setting("AUTH_DISABLED", False, "Trusted test rigs only: no sign-in; refused in production")
    secret_key: Secret = setting(
        "SECRET_KEY", Secret(), "Comma list of Fernet keys; the first encrypts; none: DATA_DIR/secrets, made once"
    )
    cookie_secure: bool | None = setting(
        "COOKIE_SECURE", None, "Session cookie over TLS only; unset: with MODE=production"
    )
    password_min_length: int = setting("PASSWORD_MIN_LENGTH", 4, "Shortest password taken; 8 or more advised")
    login_tries_per_account: int = setting("LOGIN_TRIES", 10, "Wrong passwords for one account in 15 minutes")
    login_tries_per_address: int = setting(
        "LOGIN_TRIES_PER_ADDRESS", 30, "Wrong passwords from one address in 15 minutes"
    )


@dataclass(frozen=True)
class ThrottlingSettings:
    nginx: bool = setting("NGINX_THROTTLING", False, "nginx limits instead of this server; login limits stay")
    mode: str = setting("THROTTLING_MODE", "reject", "Too much: reject (429 at once) or delay (up to 5 s)")
    send: Rate = setting("THROTTLE_SEND", Rate(10, 1), "Messages of a person: at once (burst), then in a second (rate)")
    default: Rate = setting(
        "THROTTLE_DEFAULT",
        Rate(100, 50),
        "Other requests of a person, else of an address",
    )


@dataclass(frozen=True)
class LogsSettings:
    level: str = setting("LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR")
    dir: Path | None = setting("LOG_DIR", None, "Folder of debug.log and error.log; unset: DATA_DIR/logs")


@dataclass(frozen=True)
class Config:
    Server: ClassVar = ServerSettings
    Database: ClassVar = DatabaseSettings
    Auth: ClassVar = AuthSettings
    Logs: ClassVar = LogsSettings
    Throttling: ClassVar = ThrottlingSettings

    mode: Mode = setting("MODE", Mode.STANDARD, "dev (loopback, easy), standard or production (strict)")
    apps: tuple[str, ...] = setting(
        "APPS",
        (
            *("health", "docs", "metrics", "auth", "throttling", "chats", "messages", "search"),
            *("ws", "events", "presence", "classic", "cache", "client"),
        ),
        "Sub-apps; others are not imported",
    )
    data_dir: Path = setting(
        "DATA_DIR", Path("~/.local/share/messenger"), "Private PostgreSQL, keys and logs ($XDG_DATA_HOME counts)"
    )
    wire: str = setting("WIRE", "auto", "Doorbells between processes: auto, none, postgres or redis")
    operation_id_window: int = setting("OPERATION_ID_WINDOW", 300, "Seconds an operation_id is remembered")
    max_sockets_per_user: int = setting("MAX_SOCKETS_PER_USER", 20, "Sockets one person may hold")
    log_retention_days: int = setting("LOG_RETENTION_DAYS", 30, "Days of replay for all but messages")
    search_delay: int = setting(
        "SEARCH_DELAY", 0, "Seconds before and after a search task, to watch its states", at_least=0
    )
    seed_demo: bool = setting("SEED_DEMO", False, "Demo people and chats at start; refused in production")
    redis_url: SecretUrl = setting(
        "REDIS_URL", SecretUrl(), "Redis, if any: wire, limits, pages, search results of many machines"
    )
    rmq_url: SecretUrls = setting(
        "RMQ_URL",
        SecretUrls(),
        "RabbitMQ, if any, or its nodes (comma list): messenger-consumer does search tasks",
    )
    cache_type: str = setting("CACHE_TYPE", "memory", "Pages are kept in memory (of each worker) or redis (shared)")
    server: ServerSettings = group(ServerSettings, "Server")
    database: DatabaseSettings = group(DatabaseSettings, "Database")
    auth: AuthSettings = group(AuthSettings, "Signing in")
    logs: LogsSettings = group(LogsSettings, "Logs")
    throttling: ThrottlingSettings = group(ThrottlingSettings, "Limits")
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def served_apps(self) -> tuple[str, ...]:
        return tuple(name for name in self.apps if name != "throttling" or not self.throttling.nginx)

    @property
    def log_dir(self) -> Path:
        return self.logs.dir or self.data_dir / "logs"

    @property
    def cookie_secure(self) -> bool:
        return self.mode is Mode.PRODUCTION if self.auth.cookie_secure is None else self.auth.cookie_secure

    @property
    def migrates_on_start(self) -> bool:
        wanted = self.database.migrate_on_start
        return self.database.is_private if wanted is None else wanted

    def lines(self) -> Iterator[tuple[str, str, str, str]]:
        """Name, value (secrets masked), source and reason of every setting."""
        for knob in knobs():
            yield knob.name, knob.shown(self), self.sources.get(knob.name, "default"), knob.why


@dataclass(frozen=True, slots=True)
class Knob:
    """A setting seen from outside: its variable, its place in Config, its type."""

    name: str
    why: str
    place: tuple[str, ...]
    kind: Any
    default: Any
    at_least: int

    def shown(self, config: Config) -> str:
        value: Any = config
        for step in self.place:
            value = getattr(value, step)
        if value is None:
            return ""
        if isinstance(value, Secret):
            return value.masked
        if isinstance(value, tuple):
            return ",".join(value)
        return str(value).lower() if isinstance(value, bool) else str(value)


def knobs(owner: type = Config, place: tuple[str, ...] = ()) -> Iterator[Knob]:
    hints = get_type_hints(owner)
    for one in fields(owner):
        if one.metadata.get("group"):
            yield from knobs(hints[one.name], (*place, one.name))
        elif "name" in one.metadata:
            facts = one.metadata
            yield Knob(facts["name"], facts["why"], (*place, one.name), hints[one.name], one.default, facts["at_least"])


def groups() -> Iterator[tuple[str, list[Knob]]]:
    """The settings as people read them: by title."""
    every = list(knobs())
    yield "General", [knob for knob in every if len(knob.place) == 1]
    for one in fields(Config):
        if "group" in one.metadata:
            yield one.metadata["group"], [knob for knob in every if knob.place[0] == one.name]


def read(environ: Mapping[str, str], *, dotenv: Path | None = None, flags: Mapping[str, str] | None = None) -> Config:
    """Flags win over the environment, the environment over NAME_FILE, that over `.env`, that over the default."""
    layers: list[tuple[str, Mapping[str, str]]] = [("flag", flags or {}), ("environment", environ)]
    if dotenv is not None and dotenv.is_file():
        layers.append((".env", _read_dotenv(dotenv)))
    values: dict[tuple[str, ...], Any] = {}
    sources: dict[str, str] = {}
    every = list(knobs())
    for knob in every:
        found = _look_up(knob.name, layers)
        if found is not None:
            raw, sources[knob.name] = found
            values[knob.place] = _parse(knob, raw)
    if ("data_dir",) not in values:
        values["data_dir",] = default_data_dir(environ)
    config = _build(Config, values, sources, tuple(_look_alikes(every, layers)))
    if config.cache_type == "redis" and not config.redis_url:
        raise SettingError("CACHE_TYPE='redis' needs REDIS_URL, which is not set: redis://host:port is expected.")
    _refuse_unsafe(config)
    return config


def _read_dotenv(path: Path) -> dict[str, str]:
    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read: {error}.") from None


def _look_up(name: str, layers: list[tuple[str, Mapping[str, str]]]) -> tuple[str, str] | None:
    for source, layer in layers:
        if layer.get(name, "") != "":
            return layer[name], source
        file = layer.get(f"{name}_FILE", "")
        if file:
            try:
                return Path(file).read_text().strip(), f"file {file}"
            except (OSError, UnicodeDecodeError) as error:
                raise SettingError(f"{name}_FILE={file!r} cannot be read: {error}.") from None
    return None


def _bool(raw: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    return words[raw.strip().lower()]


PARSERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    bool: (_bool, "true or false"),
    bool | None: (_bool, "true or false"),
    int: (int, "a whole number"),
    str: (str, "text"),
    Secret: (Secret, "text"),
    SecretUrl: (SecretUrl, "an address"),
    SecretUrls: (SecretUrls, "addresses"),
    Path: (lambda raw: Path(raw).expanduser(), "a path"),
    Path | None: (lambda raw: Path(raw).expanduser(), "a path"),
    tuple[str, ...]: (lambda raw: tuple(part.strip() for part in raw.split(",") if part.strip()), "a comma list"),
    Mode: (lambda raw: Mode(raw.strip().lower()), "dev, standard or production"),
    Rate: (Rate.parse, "burst=10,rate=1/s (ten at once, then one in a second) or, which means the same, 10/1s"),
}
CHOICES = {
    "WIRE": ("auto", "none", "postgres", "redis"),
    "THROTTLING_MODE": ("reject", "delay"),
    "CACHE_TYPE": ("memory", "redis"),
}


def _parse(knob: Knob, raw: str) -> Any:
    parse, expected = PARSERS[knob.kind]
    try:
        value = parse(raw)
    except (ValueError, KeyError, RuntimeError):
        raise SettingError(f"{knob.name}={_masked(knob, raw)} is not {expected}.") from None
    if knob.kind is int and value < knob.at_least:
        raise SettingError(f"{knob.name}={_masked(knob, raw)} is too small: at least {knob.at_least} is expected.")
    if knob.name == "PORT" and value > 65535:  # noqa: PLR2004
        raise SettingError(f"PORT={raw!r} is too large: a port is at most 65535.")
    if knob.name == "LOG_LEVEL" and value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise SettingError(f"LOG_LEVEL={raw!r} is not DEBUG, INFO, WARNING or ERROR.")
    if isinstance(value, SecretUrls) and not all(one.startswith(("amqp://", "amqps://")) for one in value.each):
        raise SettingError("RMQ_URL is not an address like amqp://user:password@host:5672/.")
    if value not in (choices := CHOICES.get(knob.name, (value,))):
        raise SettingError(f"{knob.name}={raw!r} is not {', '.join(choices[:-1])} or {choices[-1]}.")
    return value


def _masked(knob: Knob, raw: str) -> str:
    return "…" if isinstance(knob.default, Secret) else repr(raw)


def _build(
    owner: type[Config], values: Mapping[tuple[str, ...], Any], sources: Mapping[str, str], warnings: tuple[str, ...]
) -> Config:
    hints = get_type_hints(owner)
    given: dict[str, Any] = {place[0]: value for place, value in values.items() if len(place) == 1}
    for one in fields(owner):
        if one.metadata.get("group"):
            inner = {place[1]: value for place, value in values.items() if place[0] == one.name and len(place) > 1}
            given[one.name] = hints[one.name](**inner)
    if given.get("mode") is Mode.DEV and "HOST" not in sources:
        given["server"] = ServerSettings(**{**vars(given["server"]), "host": "127.0.0.1"})
    return owner(**given, sources=dict(sources), warnings=warnings)


def _look_alikes(every: list[Knob], layers: list[tuple[str, Mapping[str, str]]]) -> Iterator[str]:
    known = {name for knob in every for name in (knob.name, f"{knob.name}_FILE")}
    for source, layer in layers:
        for name in layer:
            if name in known or not re.fullmatch(r"[A-Z][A-Z0-9_]{3,}", name):
                continue
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.87)
            if close:
                yield f"{name} ({source}) is not a setting; did you mean {close[0]}?"


def _refuse_unsafe(config: Config) -> None:
    if config.mode is not Mode.PRODUCTION:
        return
    if config.warnings:
        raise SettingError(config.warnings[0])
    if config.auth.disabled:
        raise SettingError("AUTH_DISABLED=true is for test rigs; it is refused when MODE=production.")
    if config.seed_demo:
        raise SettingError("SEED_DEMO=true makes people whose password everybody knows; refused when MODE=production.")
    if not config.auth.secret_key:
        raise SettingError(
            "MODE=production needs SECRET_KEY (or SECRET_KEY_FILE): a Fernet key that all workers share."
        )
    if "*" in config.server.cors_origins:
        raise SettingError("CORS_ORIGINS=* would let every site act for your people; name the origins.")
