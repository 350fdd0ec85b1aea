"""What a query becomes: the statements that were run for it, each with PostgreSQL's plan and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planner.levels import Call, Connection, Row
from planner.reads import CompiledReads, Operation, Who

# The plan is made for the values at hand; the statement itself is run by one that is made for any values.
EXPLAIN = "explain (analyze, buffers) "


@dataclass(frozen=True)
class Explained:
    """`statements` in their order, each as `sql` and `plan` (text of several lines); `executed` are the keys of the
    answer that are not compiled."""

    statements: list[dict[str, str]]
    executed: list[str]


class Recorder:
    """A connection that remembers what it is asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        self.asked.append((query, arguments))
        return await self._connection.fetch(query, *arguments)


async def explain(reads: CompiledReads, operation: Operation, raw: Mapping[str, Any], who: Who, env: Any) -> Explained:
    """Run the query, and every statement once more to have it explained. Raises as `CompiledReads.answer`."""
    plan, values = reads.plan(operation, raw, signed_in=who.user_id is not None)
    async with reads.connections.one() as connection:
        recorder = Recorder(connection)
        call = Call(who.actor, who.user_id, values, env, recorder)
        for root in plan.roots.values():
            await root.load(call)
        statements = []
        for text, arguments in recorder.asked:
            lines = await connection.fetch(EXPLAIN + text, *arguments)
            statements.append({"sql": text, "plan": "\n".join(line[0] for line in lines)})
    executed = [key for key in plan.keys if key not in plan.roots and key not in plan.names]
    return Explained(statements, executed)
