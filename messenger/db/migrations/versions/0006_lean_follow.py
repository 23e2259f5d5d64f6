"""The search index follows in time that depends on what is new.

Revision ID: 0006
Revises: 0005
"""

from pathlib import Path

from messenger.db.migrations.script import run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Nothing to take back: the function answers the same as before."""
