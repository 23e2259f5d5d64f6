"""Batches of those whom a process remembers, and answers that it can remember.

Revision ID: 1001
Revises: 1000
"""

from pathlib import Path

from messenger.db.migrations.script import load_functions, run

revision = "1001"
down_revision = "1000"
branch_labels = None
depends_on = None

DROP = """
    drop function if exists log_append(
        bigint[], bigint[], bigint[], text[], smallint[], text[], bigint[], bigint[], bigint[], bigint[], bigint[],
        interval, bigint[]);
    drop function if exists log_append_lone(bigint, bigint, bigint, text, text, bigint);
"""


def upgrade() -> None:
    run(DROP)
    load_functions("log_append", "log_append_lone", "log_append_known")


def downgrade() -> None:
    run(DROP + "drop function log_append_known;")
    for name in ("log_append", "log_append_lone"):
        run(Path(__file__).with_name(f"1001_{name}.down.sql").read_text(encoding="utf-8"))
