"""Traces: who left words in a chat without being in it, and which chat and person an audit row is about.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "former_members",
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "chat_id", name="former_members_pkey"),
    )
    op.execute(
        "insert into former_members (user_id, chat_id)"
        " select distinct g.sender_id, g.chat_id from messages g"
        " where not exists (select from members m where m.chat_id = g.chat_id and m.user_id = g.sender_id)"
    )
    op.add_column("audit", sa.Column("chat_id", sa.BigInteger))
    op.add_column("audit", sa.Column("subject_id", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("audit", "subject_id")
    op.drop_column("audit", "chat_id")
    op.drop_table("former_members")
