"""Accounts: users, sessions and their tokens, login failures, audit.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
KEY = sa.Text(collation="C")


def upgrade() -> None:
    # Trusted since PostgreSQL 13: the owner of the database may create it. It stays at a downgrade, others use it too.
    op.execute("create extension if not exists pg_trgm")
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("name_key", KEY),
        sa.Column("email", sa.Text),
        sa.Column("email_key", KEY),
        sa.Column("password_hash", sa.Text),
        sa.Column("password_set_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("display_name", sa.Text, server_default="", nullable=False),
        sa.Column("about", sa.Text, server_default="", nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("deleted_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        sa.UniqueConstraint("name_key", name="users_name_key_key"),
        sa.UniqueConstraint("email_key", name="users_email_key_key"),
    )
    op.create_index("users_length_name_key_idx", "users", [sa.text("length(name_key)"), "name_key"])
    op.create_index(
        "users_name_key_trgm_idx",
        "users",
        ["name_key"],
        postgresql_using="gin",
        postgresql_ops={"name_key": "gin_trgm_ops"},
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("client_id", sa.Text),
        sa.Column("device_name", sa.Text),
        sa.Column("created_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("last_seen_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="sessions_pkey"),
        sa.UniqueConstraint("token_hash", name="sessions_token_hash_key"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="sessions_user_id_fkey"),
    )
    op.create_index("sessions_user_id_idx", "sessions", ["user_id"])
    op.create_index(
        "sessions_live_device_idx",
        "sessions",
        ["user_id", "client_id"],
        unique=True,
        postgresql_where=sa.text("ended_at is null and client_id is not null"),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("session_id", sa.BigInteger, nullable=False),
        sa.Column("issued_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT),
        sa.PrimaryKeyConstraint("token_hash", name="refresh_tokens_pkey"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="refresh_tokens_session_id_fkey", ondelete="CASCADE"
        ),
    )
    op.create_index("refresh_tokens_session_id_idx", "refresh_tokens", ["session_id"])
    op.create_table(
        "ws_tickets",
        sa.Column("ticket_hash", sa.LargeBinary, nullable=False),
        sa.Column("session_id", sa.BigInteger, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("ticket_hash", name="ws_tickets_pkey"),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name="ws_tickets_session_id_fkey", ondelete="CASCADE"),
    )
    op.create_index("ws_tickets_session_id_idx", "ws_tickets", ["session_id"])
    op.create_table(
        "login_failures",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("account", sa.LargeBinary),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("failed_at", MOMENT, server_default=sa.func.clock_timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="login_failures_pkey"),
    )
    op.create_index("login_failures_account_idx", "login_failures", ["account", "failed_at"])
    op.create_index("login_failures_address_idx", "login_failures", ["address", "failed_at"])
    op.create_index("login_failures_failed_at_idx", "login_failures", ["failed_at"])
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("user_id", sa.BigInteger),
        sa.Column("session_id", sa.BigInteger),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_pkey"),
    )
    op.create_index("audit_user_id_at_idx", "audit", ["user_id", "at"])
    op.execute("""
        create function refuse_change() returns trigger language plpgsql as
        $$ begin raise exception '% is append-only', tg_table_name; end $$
    """)
    op.execute(
        "create trigger audit_append_only before update or delete or truncate on audit"
        " for each statement execute function refuse_change()"
    )


def downgrade() -> None:
    for table in ("audit", "login_failures", "ws_tickets", "refresh_tokens", "sessions", "users"):
        op.drop_table(table)
    op.execute("drop function refuse_change()")
