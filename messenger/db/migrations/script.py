"""Migrations written as SQL: several statements at once, which a prepared statement cannot hold."""

from pathlib import Path

from alembic import context, op

FUNCTIONS = Path(__file__).parents[1] / "functions"


def run(script: str) -> None:
    """As it is written; SQLAlchemy would look for parameters in it."""
    if context.is_offline_mode():
        op.get_context().impl.static_output(script)
        return
    op.get_bind().connection.dbapi_connection.run_async(lambda connection: connection.execute(script))  # type: ignore[union-attr]


def suits(revision: str, oldest: str) -> None:
    """Servers that know `oldest`, and not yet `revision`, live with it: it adds what they do not mind."""
    run(f"insert into schema_steps (revision, suits) values ('{revision}', '{oldest}');")


def suits_no_more(revision: str) -> None:
    run(f"delete from schema_steps where revision = '{revision}';")


def load_functions(*names: str) -> None:
    """Make these functions, or all, as their files are now: docs/decisions/008-functions-as-they-are-now.md.

    Their bodies are not checked against the tables, which may be those of an older version than the files.
    """
    files = [FUNCTIONS / f"{name}.sql" for name in names] or sorted(FUNCTIONS.glob("*.sql"))
    run("\n".join(["set local check_function_bodies = off;", *(file.read_text(encoding="utf-8") for file in files)]))


def drop_functions() -> None:
    """All that have a file."""
    run(f"drop function if exists {', '.join(file.stem for file in sorted(FUNCTIONS.glob('*.sql')))}")
