"""What a field finds in `info.context`: the use-cases' context, and readers that gather what sibling fields ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy.orm import InstrumentedAttribute
from strawberry.dataloader import DataLoader

from auth.viewer import Viewer
from models.base import Row
from planner.keyset import Order, PageArgs
from resolvers import reading
from resolvers.context import Context
from resolvers.pages import Page
from schema.nodes import Node, OfRow


class Readers:
    """One batch reader per kind of question, made when it is first asked.

    They gather but do not remember (`cache=False`): a mutation, and every event of a subscription, must see the rows as
    they stand.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._loaders: dict[Any, Any] = {}

    async def one(self, kind: type[Row], id: UUID | None) -> Any:
        """The row with this id; None when there is none that the viewer may see."""
        if id is None:
            return None
        return await self._loader(kind, partial(reading.rows_by_id, self._ctx, kind)).load(id)

    async def found(self, shows: type[Node], id: UUID | None) -> Any:
        """The row that an id of this type finds: not one that is in a bin, say."""
        if id is None:
            return None
        load = partial(reading.rows_by_id, self._ctx, shows.rows, within=shows.found)
        return await self._loader(("found", shows), load).load(id)

    async def below(self, parent: InstrumentedAttribute[UUID], id: UUID, order: Order) -> Any:
        """All rows whose `parent` column is `id`."""

        async def load(ids: Sequence[UUID]) -> list[list[Any]]:
            return await reading.rows_below(self._ctx, parent, ids, order)

        return await self._loader((parent, order), load).load(id)

    async def page(self, parent: InstrumentedAttribute[UUID], id: UUID, *, order: Order, args: PageArgs) -> Any:
        """A page of the rows whose `parent` column is `id`."""

        async def load(ids: Sequence[UUID]) -> list[Page[Any]]:
            return await reading.pages_below(self._ctx, parent, ids, order=order, args=args)

        return await self._loader((parent, order, args), load).load(id)

    async def count(self, parent: InstrumentedAttribute[UUID], id: UUID) -> int:
        """How many rows have `id` in their `parent` column."""
        counted: int = await self._loader(("count", parent), partial(reading.counts_below, self._ctx, parent)).load(id)
        return counted

    def _loader(self, question: Any, load: Any) -> Any:
        if question not in self._loaders:
            self._loaders[question] = DataLoader(load_fn=load, cache=False)
        return self._loaders[question]


@dataclass
class RequestContext:
    """One per operation. `shows` says which type shows which rows."""

    ctx: Context
    shows: Mapping[type[Row], type[OfRow]]

    @cached_property
    def read(self) -> Readers:
        return Readers(self.ctx)

    def sign_in(self, viewer: Viewer) -> None:
        """The rest of this operation is the new session's: its user reads what is theirs."""
        self.ctx = replace(self.ctx, viewer=viewer)
        self.read = Readers(self.ctx)

    def show(self, row: Row | None) -> Any:
        """The row as the type that shows it; None for none."""
        return None if row is None else self.shows[type(row)].of(row)

    @property
    def expires_at(self) -> float | None:
        """Unix seconds at which streams that were opened with this context end; None: never."""
        moment = self.ctx.viewer.expires_at
        return moment.timestamp() if moment else None


Show = Callable[[Row | None], Any]
Info = strawberry.Info[RequestContext, None]
