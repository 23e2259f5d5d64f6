"""Search knows each word once: parts and forms are looked for among the words, and words among the documents.

The documents are made anew by the follower, from the beginning of the log.

Revision ID: 1002
Revises: 1000
"""

from pathlib import Path

from messenger.db.migrations.script import load_functions, run

revision = "1002"
down_revision = "1001"
branch_labels = None
depends_on = None

WRITING = "search_split", "search_stems", "search_forget", "search_index", "search_follow"
READING = "search_forms", "search_parts", "search_term", "search_condition", "search_find"
ANEW = "delete from log_followers where name in ('search', 'search begun', 'search rebuild');"


def upgrade() -> None:
    run(
        """
        drop function if exists search_condition(text[], int[], boolean[]);
        drop function if exists search_words(text);
        drop function if exists search_without_signs(text);
        drop table search_documents;
        create table search_documents (
            message_id bigint not null,
            chat_id bigint not null,
            sender_id bigint not null,
            seq bigint not null,
            sent_at timestamptz not null,
            text text not null,                    -- folded
            words text[] collate "C" not null,     -- of the text, in their order
            primary key (message_id, chat_id)
        );
        -- The chat stands inside, so that of a common word only what few chats say of it has to be read; for a rare one
        -- it is cheaper to look at all who say it, and the planner does.
        create index search_documents_words_idx on search_documents using gin (chat_id, words);
        -- Every word that is said, once: what is looked for as a form or as a part of a word is looked for here.
        create table search_words (
            word text collate "C" primary key,
            stems text[] collate "C" not null
        );
        create index search_words_word_idx on search_words using gin (stems, word gin_trgm_ops);
        """
        + ANEW
    )
    load_functions(*WRITING, *READING)


def downgrade() -> None:
    run(
        """
        drop function search_find, search_condition, search_term, search_parts, search_forms;
        drop function search_follow, search_index, search_forget, search_stems, search_split;
        drop table search_words, search_documents;
        create table search_documents (
            message_id bigint not null,
            chat_id bigint not null,
            sender_id bigint not null,
            seq bigint not null,
            sent_at timestamptz not null,
            text text not null,
            ts tsvector not null,
            primary key (message_id, chat_id)
        );
        create index search_documents_ts_idx on search_documents using gin (chat_id, ts);
        create index search_documents_text_idx on search_documents using gin (chat_id, text gin_trgm_ops);
        """
        + ANEW
        + Path(__file__).with_suffix(".down.sql").read_text(encoding="utf-8")
    )
