"""The table of the schema itself."""

from sqlalchemy.orm import Mapped, mapped_column

from messenger.db.metadata import Table


class SchemaStep(Table):
    """What a migration says to programs that do not know it: whoever knows `suits` lives with it."""

    __tablename__ = "schema_steps"
    revision: Mapped[str] = mapped_column(primary_key=True)
    suits: Mapped[str]
