"""What the planner is told of the schema: every field that says where it comes from, and none that somebody guards."""

from __future__ import annotations

from typing import Any

import pytest
import strawberry
from strawberry.permission import BasePermission

from models.accounts import User as UserRow
from planner.declarations import FromColumn, OfViewer
from schema.build import NODE_TYPES, build_catalog, build_schema
from schema.compiled import catalog
from schema.fields import SignedIn
from schema.reads import READ

CATALOG = build_catalog()


class Nobody(BasePermission):
    message = "Not you."

    def has_permission(self, source: Any, info: Any, **kwargs: Any) -> bool:
        return False


def resolve() -> str:
    return "executed"


@strawberry.type
class Asked:
    free: str = strawberry.field(resolver=resolve, metadata={READ: OfViewer()})
    extended: str = strawberry.field(resolver=resolve, metadata={READ: OfViewer()}, extensions=[SignedIn()])
    permitted: str = strawberry.field(resolver=resolve, metadata={READ: OfViewer()}, permission_classes=[Nobody])
    plain: str = strawberry.field(resolver=resolve)


def test_a_field_with_a_permission_is_left_to_the_resolver_that_asks_it() -> None:
    assert set(catalog(Asked, {}, ()).root) == {"free"}


@pytest.mark.parametrize("name", NODE_TYPES)
def test_every_field_of_a_node_is_compiled(name: str) -> None:
    kind: Any = build_schema().type_map[name]
    assert CATALOG.shapes[name].fields.keys() == kind.fields.keys()


def test_every_field_of_query_is_compiled_but_for_those_without_rows() -> None:
    query: Any = build_schema().query_type
    assert query.fields.keys() - CATALOG.root.keys() == {"providers"}


def test_what_is_secret_of_an_account_is_no_field() -> None:
    columns = {read.column for read in CATALOG.shapes["User"].fields.values() if isinstance(read, FromColumn)}
    assert UserRow.password_hash not in columns
