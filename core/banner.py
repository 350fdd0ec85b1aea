"""What a person sees when the server is up: only what is true, and one thing to try."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Facts:
    """What the banner says. `demo` is the e-mail and password of the demo account, None where there is none."""

    url: str
    graphiql: bool
    database: str
    queue: str
    worker: str
    provider: str
    data_dir: Path
    demo: tuple[str, str] | None


def banner(facts: Facts) -> str:
    rows = {"Studio": f"{facts.url}/", "GraphQL": f"{facts.url}/graphql"}
    if facts.graphiql:
        rows["GraphiQL"] = f"{facts.url}/graphiql"
    rows |= {
        "Contract": f"{facts.url}/schema.graphql",
        "Health": f"{facts.url}/health",
        "Database": facts.database,
        "Queue": facts.queue,
        "Worker": facts.worker,
        "Provider": facts.provider,
        "Data": str(facts.data_dir),
    }
    if facts.demo:
        rows["Demo"] = "  ".join(facts.demo)
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {value}" for name, value in rows.items()]
    return "\n".join(["", "  Antiphon is up. Ctrl-C stops it.", "", *lines, "", f"  Try: {_try(facts)}", ""])


def _try(facts: Facts) -> str:
    if not facts.demo:
        return f"curl -s {facts.url}/health"
    email, password = facts.demo
    asked = f'login(input: {{email: \\"{email}\\", password: \\"{password}\\"}}) {{ session {{ accessToken }} }}'
    body = f'{{"query": "mutation {{ {asked} }}"}}'
    return f"curl -s {facts.url}/graphql -H 'content-type: application/json' -d '{body}'"
