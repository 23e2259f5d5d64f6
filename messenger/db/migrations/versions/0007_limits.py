"""Limits that workers share where there is no Redis.

Revision ID: 0007
Revises: 0006
"""

from messenger.db.migrations.script import run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A row changes at every spending and its key never: half of each page is left free, so it can stay on it.
    run(
        """
        create unlogged table limits (
            bucket text constraint limits_pkey primary key,
            full_at double precision not null,
            spent double precision not null
        ) with (fillfactor = 50);
        """
    )


def downgrade() -> None:
    run("drop table limits")
