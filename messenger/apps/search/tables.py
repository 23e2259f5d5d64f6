"""The documents and words of the index, search tasks, and what tasks found. Functions of the schema write the index."""

from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, Identity, Index, Integer, Text
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from messenger.db.metadata import Table


class SearchDocument(Table):
    __tablename__ = "search_documents"
    message_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chat_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sender_id: Mapped[int]
    seq: Mapped[int]
    sent_at: Mapped[datetime]
    text: Mapped[str]
    words: Mapped[list[str]] = mapped_column(ARRAY(Text(collation="C")))
    __table_args__ = (Index("search_documents_words_idx", "chat_id", "words", postgresql_using="gin"),)


class SearchWord(Table):
    """A word that is said somewhere."""

    __tablename__ = "search_words"
    word: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    stems: Mapped[list[str]] = mapped_column(ARRAY(Text(collation="C")))
    __table_args__ = (
        Index(
            "search_words_word_idx", "stems", "word", postgresql_using="gin", postgresql_ops={"word": "gin_trgm_ops"}
        ),
    )


class SearchTask(Table):
    __tablename__ = "search_tasks"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    asker_id: Mapped[int | None]
    text: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="WAITING")
    progress: Mapped[int] = mapped_column(Integer, server_default="0")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    hits: Mapped[int] = mapped_column(Integer, server_default="0")
    complete: Mapped[bool] = mapped_column(server_default=sql("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=sql("clock_timestamp()"))
    lease_until: Mapped[datetime | None]  # until then somebody holds it: a worker, or a broker while it waits
    expires_at: Mapped[datetime] = mapped_column(index=True)
    __table_args__ = (
        CheckConstraint("status in ('WAITING', 'IN_PROCESS', 'SUCCESS', 'FAILED')", name="status"),
        Index("search_tasks_open_idx", "id", postgresql_where=sql("status in ('WAITING', 'IN_PROCESS')")),
    )


class SearchResult(Table):
    __tablename__ = "search_results"
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    place: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    chat_id: Mapped[int]
    message_id: Mapped[int]
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)
