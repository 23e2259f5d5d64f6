"""Makes the passwords and keys of this installation, each in the folder of those who read it. What is there stays.

Usage: python make_secrets.py FOLDER [ha]
"""

import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

RABBITS = ("rabbitmq1", "rabbitmq2", "rabbitmq3")
# Their images bring users of their own. A container sees its folder only; in it, the others' files have one reader.
READ_BY_OTHER_USERS = {"postgres", "patroni", "rabbitmq", "grafana"}


def make_all(folder: Path, *, ha: bool = False) -> None:
    """`ha`: for compose.ha.yml."""

    def once(name: str, make: Callable[[], str] = secrets.token_urlsafe) -> str:
        path = folder / name
        if not path.exists():
            write(name, make())
        return path.read_text()

    def write(name: str, text: str) -> None:
        """Whole or not at all."""
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        new = path.with_name(f"{path.name}.new")
        new.write_text(text)
        new.chmod(0o444 if path.parent.name in READ_BY_OTHER_USERS else 0o400)
        new.replace(path)

    once("postgres/superuser_password")
    once("grafana/password")
    once("messenger/secret_key", lambda: Fernet.generate_key().decode())
    database, redis, rabbitmq = once("postgres/password"), once("redis/password"), once("rabbitmq/password")
    write("messenger/redis_url", f"redis://:{redis}@redis:6379/0")
    write("redis/redis.conf", f"requirepass {redis}\n")
    account = f"default_user = messenger\ndefault_pass = {rabbitmq}\n"
    if ha:
        replication, rest = once("patroni/replication_password"), once("patroni/rest_password")
        once("rabbitmq/cookie")
        passwords = {
            "PATRONI_SUPERUSER_PASSWORD": once("patroni/superuser_password"),
            "PATRONI_REPLICATION_PASSWORD": replication,
            "PATRONI_RESTAPI_USERNAME": "patroni",
            "PATRONI_RESTAPI_PASSWORD": rest,
            "MESSENGER_PASSWORD": database,
        }
        write("patroni/environment", "".join(f"{name}={value}\n" for name, value in passwords.items()))
        write("messenger/database_url", f"postgresql://messenger:{database}@haproxy:5432/messenger")
        write("messenger/rmq_url", ",".join(f"amqp://messenger:{rabbitmq}@{node}:5672/" for node in RABBITS))
        nodes = [f"cluster_formation.classic_config.nodes.{at} = rabbit@{node}" for at, node in enumerate(RABBITS, 1)]
        joining = ["cluster_formation.peer_discovery_backend = classic_config", *nodes]
        joining.append("cluster_partition_handling = pause_minority")
        write("rabbitmq/rabbitmq.conf", account + "\n".join(joining) + "\n")
    else:
        write("messenger/database_url", f"postgresql://messenger:{database}@pgbouncer:6432/messenger")
        write("messenger/database_direct_url", f"postgresql://messenger:{database}@postgres:5432/messenger")
        write("messenger/rmq_url", f"amqp://messenger:{rabbitmq}@rabbitmq:5672/")
        write("pgbouncer/userlist.txt", f'"messenger" "{database}"\n')
        write("rabbitmq/rabbitmq.conf", account)


if __name__ == "__main__":
    make_all(Path(sys.argv[1]), ha=sys.argv[2:] == ["ha"])
