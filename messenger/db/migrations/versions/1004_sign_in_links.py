"""Links that sign somebody in, once.

Revision ID: 1004
Revises: 1003
"""

from messenger.db.migrations.script import run, suits, suits_no_more

revision = "1004"
down_revision = "1003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        create table sign_in_links (
            token_hash bytea primary key,
            user_id bigint not null references users (id) on delete cascade,
            made_at timestamptz not null default now(),
            expires_at timestamptz not null
        );
        create index sign_in_links_user_id_idx on sign_in_links (user_id);
        """
    )
    suits(revision, "1003")


def downgrade() -> None:
    suits_no_more(revision)
    run("drop table sign_in_links;")
