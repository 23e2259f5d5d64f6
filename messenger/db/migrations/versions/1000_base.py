"""The schema of the first release. Numbers below 1000 belonged to versions that were never released.

Revision ID: 1000
Revises:
"""

from pathlib import Path

from messenger.db.migrations.script import drop_functions, load_functions, run

revision = "1000"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
    load_functions()
    run(
        """
        create trigger audit_append_only before update or delete or truncate on audit
            for each statement execute function refuse_change();
        insert into log_head values (0, substr(md5(gen_random_uuid()::text), 1, 8), log_origin(), clock_timestamp());
        insert into log_epochs (epoch, after_position, origin) select epoch, 0, origin from log_head;
        insert into log_kept default values;
        """
    )


def downgrade() -> None:
    # The extensions stay: others in this database may have come to use them.
    run(
        """
        drop schema messenger cascade;
        drop view log, groups, read_cursors, messages_read;
        drop table limits, search_results, search_tasks, search_documents;
        drop table inbox_refused, inbox_drafts, log_followers, log_entries, log_kept, log_epochs, log_head;
        drop table reactions, messages, former_members, members, direct_chats, chats;
        drop table audit, login_failures, ws_tickets, refresh_tokens, sessions, users;
        """
    )
    drop_functions()  # of later versions too: the files that were loaded may be theirs
