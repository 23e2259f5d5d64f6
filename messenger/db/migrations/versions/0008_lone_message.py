"""One plain message is stored without the plans of a batch.

Revision ID: 0008
Revises: 0007
"""

from pathlib import Path

from messenger.db.migrations.script import run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    run("drop function log_append_lone")
