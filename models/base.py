"""What every table shares: names of constraints, column types, and words for the common columns."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, ForeignKeyConstraint, MetaData, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

# Named constraints, so that migrations can drop them and errors can be told apart.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Row(DeclarativeBase):
    """The base of every table's class."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012 -- the name and form that SQLAlchemy asks for
        datetime: DateTime(timezone=True),
        UUID: Uuid(),
        str: Text(),
        list[str]: ARRAY(Text()),
        dict[str, Any]: JSONB(),
    }


Id = Annotated[UUID, mapped_column(primary_key=True)]
Owner = Annotated[UUID, mapped_column(ForeignKey("users.id", ondelete="CASCADE"))]
Created = Annotated[datetime, mapped_column(server_default=func.now())]
Updated = Annotated[datetime, mapped_column(server_default=func.now(), onupdate=func.now())]


def owned_by_the_owner_of(child: str, table: str) -> ForeignKeyConstraint:
    """`child` names a row of `table` of the same user: nobody's row hangs below somebody else's."""
    return ForeignKeyConstraint([child, "user_id"], [f"{table}.id", f"{table}.user_id"], ondelete="CASCADE")


def one_of(column: str, states: type[StrEnum]) -> CheckConstraint:
    """Enums are text with a check: adding a state is one cheap migration, and psql shows words."""
    words = ", ".join(f"'{state.value}'" for state in states)
    return CheckConstraint(f"{column} in ({words})", name=f"{column}_is_known")
