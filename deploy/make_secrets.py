"""Makes the passwords and keys of this installation, each in the folder of those who read it. What is there stays.

Usage: python make_secrets.py FOLDER
"""

import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

# Their images bring users of their own. A container sees its folder only; in it, the others' files have one reader.
READ_BY_OTHER_USERS = {"postgres", "rabbitmq", "grafana"}


def make_all(folder: Path) -> None:
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
    write("messenger/database_url", f"postgresql://messenger:{database}@pgbouncer:6432/messenger")
    write("messenger/database_direct_url", f"postgresql://messenger:{database}@postgres:5432/messenger")
    write("messenger/redis_url", f"redis://:{redis}@redis:6379/0")
    write("messenger/rmq_url", f"amqp://messenger:{rabbitmq}@rabbitmq:5672/")
    write("pgbouncer/userlist.txt", f'"messenger" "{database}"\n')
    write("redis/redis.conf", f"requirepass {redis}\n")
    write("rabbitmq/rabbitmq.conf", f"default_user = messenger\ndefault_pass = {rabbitmq}\n")


if __name__ == "__main__":
    make_all(Path(sys.argv[1]))
