"""A leaner group commit.

Revision ID: 0004
Revises: 0003
"""

from pathlib import Path

from messenger.db.migrations.script import run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

HERE = Path(__file__)


def upgrade() -> None:
    run(HERE.with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    run(HERE.with_suffix(".down.sql").read_text(encoding="utf-8"))
