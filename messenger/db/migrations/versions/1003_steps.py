"""The schema says which older programs live with it.

Revision ID: 1003
Revises: 1002
"""

from messenger.db.migrations.script import run

revision = "1003"
down_revision = "1002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("create table schema_steps (revision text primary key, suits text not null);")


def downgrade() -> None:
    run("drop table schema_steps;")
