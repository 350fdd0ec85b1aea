"""How mutations and subscriptions are declared: with who may call them, and with refusals answered as data."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.types.field import StrawberryField

from auth.viewer import Viewer
from domain.errors import Refused, RequestCode, RequestFailed
from schema.errors import describe


class Permission(FieldExtension, ABC):
    """Decides by the viewer and the arguments, before anything is read. Which rows a viewer sees is the database's."""

    @abstractmethod
    def check(self, viewer: Viewer, arguments: Mapping[str, Any]) -> None:
        """Raises `RequestFailed` when the field may not be asked for."""

    async def resolve_async(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        self.check(info.context.ctx.viewer, kwargs)
        answer = next_(source, info, **kwargs)
        return await answer if inspect.isawaitable(answer) else answer


class Anyone(Permission):
    """Said aloud, so that a field without a permission is a mistake that a test finds."""

    def check(self, viewer: Viewer, arguments: Mapping[str, Any]) -> None:
        return


class SignedIn(Permission):
    """Users and admins; an anonymous viewer is told to sign in."""

    def check(self, viewer: Viewer, arguments: Mapping[str, Any]) -> None:
        if not viewer.signed_in:
            raise RequestFailed(RequestCode.UNAUTHENTICATED, "Sign in to do this: send an access token.")


class AnswersRefusals(FieldExtension):
    """What the use-case refuses becomes the payload's `errors`; its objects are null then."""

    def apply(self, field: StrawberryField) -> None:
        self.field = field

    async def resolve_async(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        try:
            return await next_(source, info, **kwargs)
        except Refused as refused:
            payload: Any = self.field.type
            return payload(errors=[describe(refusal, info.context.show) for refusal in refused.refusals])


def mutation(*, allow: type[Permission], description: str) -> Any:
    """A mutation field for those whom `allow` lets in."""
    return strawberry.mutation(description=description, extensions=[allow(), AnswersRefusals()])


def subscription(*, allow: type[Permission], description: str) -> Any:
    """A subscription field for those whom `allow` lets in."""
    return strawberry.subscription(description=description, extensions=[allow()])
