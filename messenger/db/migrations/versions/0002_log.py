"""The ordered log: chats, members, messages, entries, and the functions that write them.

Revision ID: 0002
Revises: 0001
"""

from pathlib import Path

from messenger.db.migrations.script import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    run(
        """
        drop schema messenger cascade;
        drop view log, groups, read_cursors, messages_read;
        drop function log_drain_inbox, log_prune, log_page, log_missed, log_first_after, log_cursor_is_good;
        drop function log_append, log_emit, log_refloor, log_take, log_origin;
        drop table inbox_refused, inbox_drafts, log_followers, log_entries, log_kept, log_epochs, log_head;
        drop table reactions, messages, members, direct_chats, chats;
        """
    )
