"""Compiled reads: a GraphQL selection becomes SQL rows and then JSON, without executing fields one by one.

It knows GraphQL (graphql-core), SQL (SQLAlchemy Core, asyncpg) and nothing of what it reads. `docs/planner.md` tells
how it works; in the order of a query's way: `declarations` (what a schema says of its fields), `variables` and
`arguments` (what a request gives), `selections` (what it asks for), `levels` and `statements` (one SQL statement per
level), `assembly` (one generated function per level), `connections` (who runs them), `reads` (the whole).
"""
