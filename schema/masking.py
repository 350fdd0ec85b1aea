"""What a client is told when something failed: one of the closed codes, and never the text of a bug."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from graphql import ArgumentNode, GraphQLError, ValueNode
from strawberry.exceptions import StrawberryInputCoercionError

from domain.errors import CATEGORY, RequestCode, RequestFailed

log = structlog.get_logger()

LOGGED = 5  # tracebacks of one response: a page of a hundred rows that all fail alike says nothing more


def describe_errors(
    errors: Sequence[Exception], request_id: str, *, outages: tuple[type[Exception], ...] = ()
) -> list[dict[str, Any]]:
    """The `errors` of a response, with `extensions { code category retryable retryAfter requestId }`.

    `RequestFailed` speaks for itself; a document, variable or argument that does not fit is `BAD_USER_INPUT`
    with its text; an exception in `outages` is `UNAVAILABLE`; all else is `INTERNAL`. The last two hide their
    text from the client and are logged, each exception once.
    """
    causes = [_cause(error) for error in errors]
    failures = [_failure(error, cause, request_id, outages) for error, cause in zip(errors, causes, strict=True)]
    hidden = {
        id(cause): (cause, failure.code)
        for cause, failure in zip(causes, failures, strict=True)
        if failure is not cause and failure.code is not RequestCode.BAD_USER_INPUT
    }
    for cause, code in list(hidden.values())[:LOGGED]:
        log.error("graphql.failed", request_id=request_id, code=code.value, failures=len(hidden), exc_info=cause)
    return [_formatted(error, failure, request_id) for error, failure in zip(errors, failures, strict=True)]


def _cause(error: Exception) -> Exception:
    """The exception that a resolver raised, below graphql-core's wrappings of it."""
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error


def _failure(
    error: Exception, cause: Exception, request_id: str, outages: tuple[type[Exception], ...]
) -> RequestFailed:
    if isinstance(cause, RequestFailed):
        return cause
    if isinstance(error, GraphQLError) and _blames_the_request(error, cause):
        return RequestFailed(RequestCode.BAD_USER_INPUT, error.message)
    if isinstance(cause, outages):
        text = f"The service is briefly unavailable; try again. Request {request_id}."
        return RequestFailed(RequestCode.UNAVAILABLE, text, retry_after_seconds=1)
    return RequestFailed(RequestCode.INTERNAL, f"Internal error. Quote request {request_id} when you report it.")


def _blames_the_request(error: GraphQLError, cause: Exception) -> bool:
    """Errors of syntax, validation and variables have no path: nothing ran. While fields run, the only errors
    of the client's making are arguments that turn out not to fit, and they point at the argument, not a
    field."""
    if error.path is None or isinstance(cause, StrawberryInputCoercionError):
        return True
    nodes = (cause.nodes or ()) if isinstance(cause, GraphQLError) else ()
    return any(isinstance(node, ArgumentNode | ValueNode) for node in nodes)


def _formatted(error: Exception, failure: RequestFailed, request_id: str) -> dict[str, Any]:
    formatted: dict[str, Any] = {"message": failure.message}
    if isinstance(error, GraphQLError):
        if error.locations:
            formatted["locations"] = [location.formatted for location in error.locations]
        if error.path is not None:
            formatted["path"] = error.path
    formatted["extensions"] = {
        "code": failure.code.value,
        "category": CATEGORY[failure.code].value,
        "retryable": failure.retryable,
        "retryAfter": failure.retry_after_seconds,
        "requestId": request_id,
    }
    return formatted
