"""What all workers together have drawn from a bucket, where there is no Redis."""

from sqlalchemy import Double
from sqlalchemy.orm import Mapped, mapped_column

from messenger.db.metadata import Table


class LimitRow(Table):
    __tablename__ = "limits"
    bucket: Mapped[str] = mapped_column(primary_key=True)
    full_at: Mapped[float] = mapped_column(Double)  # in seconds since 1970, by the database's clock
    spent: Mapped[float] = mapped_column(Double)  # the last time
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)
