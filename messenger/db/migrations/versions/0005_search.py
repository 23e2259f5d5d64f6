"""Search: the index as a follower of the log, tasks and what they found.

Revision ID: 0005
Revises: 0004
"""

from pathlib import Path

from messenger.db.migrations.script import run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    # The extensions stay: others in this database may have come to use them.
    run(
        """
        drop table search_results, search_tasks, search_documents;
        drop function search_follow, search_restart, search_words, search_fold;
        delete from log_followers where name in ('search', 'search begun');
        """
    )
