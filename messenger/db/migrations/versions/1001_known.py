"""Batches of those whom a process remembers, answers that it can remember, and changes by hand that it hears of.

Revision ID: 1001
Revises: 1000
"""

from pathlib import Path

from messenger.db.migrations.script import load_functions, run

revision = "1001"
down_revision = "1000"
branch_labels = None
depends_on = None

DROP = """
    drop function if exists log_append(
        bigint[], bigint[], bigint[], text[], smallint[], text[], bigint[], bigint[], bigint[], bigint[], bigint[],
        interval, bigint[]);
    drop function if exists log_append_lone(bigint, bigint, bigint, text, text, bigint);
"""


# Deferred, so that they look when the transaction has done all it does. Columns are named, so that read markers and the
# use of a session pass by. A session that has run out is swept away: nobody is believed because of it.
TRIGGERS = """
    create constraint trigger users_by_hand after update of name on users
        deferrable initially deferred for each row
        when (old.name is distinct from new.name) execute function log_note_by_hand();
    create constraint trigger members_by_hand after update of name on members
        deferrable initially deferred for each row
        when (old.name is distinct from new.name) execute function log_note_by_hand();
    create constraint trigger members_gone_by_hand after delete on members
        deferrable initially deferred for each row execute function log_note_by_hand();
    create constraint trigger sessions_by_hand after update of ended_at on sessions
        deferrable initially deferred for each row
        when (old.ended_at is null and new.ended_at is not null) execute function log_note_by_hand();
    create constraint trigger sessions_gone_by_hand after delete on sessions
        deferrable initially deferred for each row
        when (old.ended_at is null and old.expires_at > now()) execute function log_note_by_hand();
"""


def upgrade() -> None:
    run(DROP)
    load_functions("log_append", "log_append_lone", "log_append_known", "log_append_known_lone", "log_note_by_hand")
    run(TRIGGERS)


def downgrade() -> None:
    run(
        """
        drop trigger users_by_hand on users;
        drop trigger members_by_hand on members;
        drop trigger members_gone_by_hand on members;
        drop trigger sessions_by_hand on sessions;
        drop trigger sessions_gone_by_hand on sessions;
        drop function log_append_known, log_append_known_lone, log_note_by_hand;
        """
    )
    run(DROP)
    for name in ("log_append", "log_append_lone"):
        run(Path(__file__).with_name(f"1001_{name}.down.sql").read_text(encoding="utf-8"))
