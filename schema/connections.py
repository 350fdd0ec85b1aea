"""Relay connections over keyset pages: default 20, at most 100, forward and backward."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Generic, TypeVar

import strawberry

from resolvers.pages import Page
from schema.nodes import Node

N = TypeVar("N", bound=Node)

First = Annotated[
    int | None,
    strawberry.argument(description="How many, from the front; 20 when nothing is said, at most 100."),
]
After = Annotated[str | None, strawberry.argument(description="Only what comes after this edge's cursor.")]
Last = Annotated[int | None, strawberry.argument(description="How many, from the end; at most 100.")]
Before = Annotated[str | None, strawberry.argument(description="Only what comes before this edge's cursor.")]


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more follow after this page.")
    has_previous_page: bool = strawberry.field(description="Whether some come before this page.")
    start_cursor: str | None = strawberry.field(description="The first edge's cursor; null on an empty page.")
    end_cursor: str | None = strawberry.field(description="The last edge's cursor; null on an empty page.")


@strawberry.type(description="One entry of a list.")
class Edge(Generic[N]):
    node: N = strawberry.field(description="The entry itself.")
    cursor: str = strawberry.field(description="Its place in the list; opaque.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[N]):
    edges: list[Edge[N]] = strawberry.field(description="The entries, in the list's order.")
    page_info: PageInfo = strawberry.field(description="Where this page lies in the list.")
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="The entries without their cursors.")
    def nodes(self) -> list[N]:
        return [edge.node for edge in self.edges]

    @strawberry.field(description="How many the whole list has. Counted only when asked for.")
    async def total_count(self) -> int:
        return await self.count()


def connect(show: Callable[[Any], N], page: Page[Any], count: Callable[[], Awaitable[int]]) -> Connection[N]:
    """The page as a connection of what shows its rows."""
    edges = [Edge(node=show(row), cursor=page.cursor_of(row)) for row in page.rows]
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        count=count,
    )
