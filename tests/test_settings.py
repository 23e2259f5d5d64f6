"""Settings: where they come from, what is refused, and that a secret never shows."""

from pathlib import Path

import pytest

from messenger.settings import Config, Mode, Rate, SettingError, read

KEY = "k" * 43 + "="


def test_without_any_setting_the_defaults_hold(tmp_path: Path) -> None:
    config = read({"XDG_DATA_HOME": str(tmp_path)})

    assert (config.server.host, config.server.port, config.mode) == ("0.0.0.0", 8080, Mode.STANDARD)
    assert config.data_dir == tmp_path / "messenger"
    assert config.log_dir == tmp_path / "messenger" / "logs"
    assert config.database.is_private
    assert config.migrates_on_start
    assert (Config.Auth.token_type, Config.Auth.header, Config.Auth.token_lifetime) == (
        "session_id",
        "Authorization",
        3600,
    )


def test_a_flag_beats_the_environment_that_a_file_that_dotenv_that_the_default(tmp_path: Path) -> None:
    dotenv, file = tmp_path / ".env", tmp_path / "port"
    dotenv.write_text("PORT=1001\nHOST=1.1.1.1\nWORKERS_NUM=3\nDB_POOL_SIZE=4\n")
    file.write_text("1002\n")
    environ = {"PORT": "1003", "HOST_FILE": str(file), "WORKERS_NUM_FILE": str(file)}

    config = read({**environ, "HOST": "2.2.2.2"}, dotenv=dotenv, flags={"PORT": "1004"})

    assert (config.server.port, config.sources["PORT"]) == (1004, "flag")
    assert (config.server.host, config.sources["HOST"]) == ("2.2.2.2", "environment")
    assert (config.server.workers_num, config.sources["WORKERS_NUM"]) == (1002, f"file {file}")
    assert (config.database.pool_size, config.sources["DB_POOL_SIZE"]) == (4, ".env")
    assert "LOG_LEVEL" not in config.sources


def test_an_empty_variable_is_an_unset_one() -> None:
    assert read({"PORT": "", "DATABASE_URL": ""}).server.port == 8080


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "eighty", "PORT='eighty' is not a whole number"),
        ("PORT", "0", "at least 1"),
        ("PORT", "65536", "at most 65535"),
        ("MODE", "debug", "dev, standard or production"),
        ("AUTH_DISABLED", "maybe", "true or false"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING or ERROR"),
        ("WIRE", "telegraph", "auto, none, postgres or redis"),
        ("THROTTLING_MODE", "hope", "reject or delay"),
        *(
            (name, value, expected)
            for name, value in (
                ("THROTTLE_SEND", "10 per second"),
                ("THROTTLE_SEND", "0/1s"),
                ("THROTTLE_SEND", "burst=10"),
                ("THROTTLE_SEND", "burst=0,rate=1/s"),
                ("THROTTLE_SEND", "rate=1/s,burst=10/s"),
                ("THROTTLE_DEFAULT", "100/0s"),
                ("THROTTLE_DEFAULT", "burst=100,rate=50/m"),
            )
            for expected in ("burst=10,rate=1/s", "10/1s")
        ),
        ("CACHE_TYPE", "paper", "memory or redis"),
        ("CACHE_TYPE", "redis", "needs REDIS_URL"),
        ("NGINX_THROTTLING", "perhaps", "true or false"),
        ("WORKERS_NUM", "-1", "at least 1"),
        ("DATA_DIR", "~no-such-user/data", "is not a path"),
        ("SECRET_KEY_FILE", "/no/such/file", "cannot be read"),
    ],
)
def test_a_bad_value_names_the_setting_the_value_and_what_was_expected(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingError, match=name) as refused:
        read({name: value})

    assert expected in str(refused.value)
    assert value in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_dotenv_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(b"PORT=\xff\xfe")

    with pytest.raises(SettingError, match="cannot be read"):
        read({}, dotenv=dotenv)


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)

    with pytest.raises(SettingError, match="DATA_DIR"):
        read({})
    assert read({"DATA_DIR": "/srv/messenger"}).data_dir == Path("/srv/messenger")


def test_a_slip_of_the_pen_is_pointed_at() -> None:
    config = read({"DATABSE_URL": "postgresql://x", "PORTS": "80", "HOME": "/root", "LANG": "C", "HOSTNAME": "box"})

    assert config.warnings == (
        "DATABSE_URL (environment) is not a setting; did you mean DATABASE_URL?",
        "PORTS (environment) is not a setting; did you mean PORT?",
    )


@pytest.mark.parametrize("raw", ["burst=10,rate=0.5/s", "burst=10 rate=0.5/s", " burst=10, rate=.5/s ", "10/0.5s"])
def test_a_limit_says_how_many_at_once_and_how_many_in_a_second(raw: str) -> None:
    config = read({"THROTTLE_SEND": raw})

    assert config.throttling.send == Rate(tokens=10, per_second=0.5)
    assert printed(config)["THROTTLE_SEND"] == "burst=10,rate=0.5/s"


def test_secrets_show_nowhere() -> None:
    environ = {
        "SECRET_KEY": "planted-key",
        "POSTGRES_PWD": "planted-word",
        "DATABASE_URL": "postgresql://ann:planted-url@db/chat",
        "RMQ_URL": "amqp://ann:planted-url@mq/",
    }

    config = read(environ)

    assert "planted" not in repr(config)
    assert "planted" not in repr(list(config.lines()))
    assert printed(config)["SECRET_KEY"] == "********"


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL"])
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:planted@a:1,b:2/chat", "postgresql://ann:********@a:1,b:2/chat"),
        ("redis://:planted@cache:6379/1", "redis://:********@cache:6379/1"),
        ("rediss://cache", "rediss://cache"),
        ("postgresql:///chat?host=/run&user=ann", "postgresql:///chat?host=/run&user=ann"),
        (
            "postgresql://db/chat?user=ann&password=planted&sslPassword=planted&sslmode=require",
            "postgresql://db/chat?user=ann&password=********&sslPassword=********&sslmode=require",
        ),
        ("postgresql://ann:plan@ted@db/chat", "postgresql://ann:********@db/chat"),
        # What cannot be told apart for certain is not shown at all.
        ("postgresql://ann:plan/ted@db/chat", "********"),
        ("postgresql://ann:plan#ted@db/chat", "********"),
        ("postgresql://db/chat?password=plan@ted", "********"),
        ("postgresql://ann:planted@[db/chat", "********"),
        ("host=db password=planted", "********"),
    ],
)
def test_of_an_address_only_the_password_is_masked(name: str, url: str, shown: str) -> None:
    assert printed(read({name: url}))[name] == shown


def test_of_the_address_of_rabbitmq_only_the_password_is_masked() -> None:
    assert (
        printed(read({"RMQ_URL": "amqps://ann:planted@mq:5671/chat"}))["RMQ_URL"] == "amqps://ann:********@mq:5671/chat"
    )


def test_several_nodes_of_rabbitmq_are_told_apart_by_their_schemes() -> None:
    config = read({"RMQ_URL": "amqp://ann:pla,nted@a:1/, amqps://ann:planted@b/"})

    assert config.rmq_url.each == ("amqp://ann:pla,nted@a:1/", "amqps://ann:planted@b/")
    assert printed(config)["RMQ_URL"] == "amqp://ann:********@a:1/,amqps://ann:********@b/"


def printed(config: Config) -> dict[str, str]:
    return {name: value for name, value, _, _ in config.lines()}


def test_the_printed_settings_name_value_source_and_reason() -> None:
    rows = {name: rest for name, *rest in read({"PORT": "81", "TRUSTED_PROXIES": "10.0.0.1, 10.0.0.2"}).lines()}

    assert rows["PORT"] == ["81", "environment", "Port to listen on"]
    assert rows["TRUSTED_PROXIES"][0] == "10.0.0.1,10.0.0.2"
    assert rows["AUTH_DISABLED"][:2] == ["false", "default"]
    assert all(reason for _, _, reason in rows.values())


def test_in_dev_mode_the_server_keeps_to_this_machine_unless_told_otherwise() -> None:
    assert read({"MODE": "dev"}).server.host == "127.0.0.1"
    assert read({"MODE": "dev", "HOST": "0.0.0.0"}).server.host == "0.0.0.0"


def test_the_parts_of_a_database_address_are_joined() -> None:
    config = read(
        {"POSTGRES_HOSTS": "a:5432,b:5433", "POSTGRES_USER": "m@n", "POSTGRES_PWD": "p/w", "POSTGRES_DB": "d"}
    )

    assert config.database.dsn() == "postgresql://m%40n:p%2Fw@a:5432,b:5433/d?target_session_attrs=read-write"
    assert not config.database.is_private
    assert not config.migrates_on_start
    assert read({"POSTGRES_HOSTS": "a"}).database.dsn() == "postgresql://messenger@a/messenger", (
        "one host has no standby"
    )
    assert read({"POSTGRES_HOSTS": "a", "MIGRATE_ON_START": "yes"}).migrates_on_start


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"AUTH_DISABLED": "true"}, "AUTH_DISABLED"),
        ({"CORS_ORIGINS": "https://a.example,*"}, "CORS_ORIGINS"),
        ({"WORKER_NUM": "2"}, "did you mean WORKERS_NUM"),
    ],
)
def test_production_refuses_what_is_only_convenient(changes: dict[str, str], reason: str) -> None:
    environ = {"MODE": "production", "SECRET_KEY": KEY}
    assert read(environ).cookie_secure

    with pytest.raises(SettingError, match=reason):
        read({**environ, **changes})
