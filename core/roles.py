"""The database role that the product works as: one that row-level security binds.

A superuser, or a role with BYPASSRLS, reads everybody's rows whatever the policies say. Production refuses to start as
one; in development the connection steps down to a role without such powers.
"""

from __future__ import annotations

import asyncpg

from core.db import plain_dsn

BOUND_ROLE = "antiphon_bound"

# Tables of later migrations are covered too, since this runs at every start. Two processes that start together take
# turns: granting on the same table at once fails ("tuple concurrently updated"). Any number will do for the lock.
GRANTS = f"""
select pg_advisory_xact_lock(7230115);
grant usage on schema public to {BOUND_ROLE};
grant select, insert, update, delete on all tables in schema public to {BOUND_ROLE};
grant usage, select on all sequences in schema public to {BOUND_ROLE};
"""

MAKE_ROLE = f"""
do $$ begin
  create role {BOUND_ROLE} nologin nosuperuser nobypassrls;
exception when duplicate_object or unique_violation then null;
end $$;
"""


class RoleIsNotBound(Exception):
    """DATABASE_URL signs in as a role that row-level security does not bind."""


async def bound_role(url: str, *, production: bool) -> str | None:
    """The role to step down to after signing in; None when the role in `url` is already bound."""
    connection = await asyncpg.connect(plain_dsn(url), timeout=5)
    try:
        name, unbound = await connection.fetchrow(
            "select rolname, rolsuper or rolbypassrls from pg_roles where rolname = current_user"
        )
        if not unbound:
            return None
        if production:
            raise RoleIsNotBound(
                f"DATABASE_URL signs in as {name!r}, a superuser or BYPASSRLS role, which row-level security does not "
                "bind: create an ordinary role that owns the database and use that one"
            )
        try:
            await connection.execute(MAKE_ROLE + GRANTS)
        except asyncpg.InsufficientPrivilegeError as fault:
            raise RoleIsNotBound(
                f"DATABASE_URL signs in as {name!r}, which row-level security does not bind, and which may not make "
                f"a role to step down to ({fault}): use an ordinary role that owns the database"
            ) from fault
        return BOUND_ROLE
    finally:
        await connection.close()
