"""The composition root: settings → engines → database → application, and in development a worker beside it.

`python server.py` starts what DATABASE_URL and REDIS_URL do not name, and says in one line why it cannot start.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import replace

import asyncpg
import uvloop

from core.banner import Facts, banner
from core.children import Child, Program, Supervisor, spawn
from core.datadir import SIGNING_KEY, CannotStart, open_data_dir, secret_in
from core.engines import start_engines
from core.log import configure_logs
from core.migrations import DatabaseIsBehind, migrate, require_newest
from core.queue import forget_workers
from core.roles import RoleIsNotBound, bound_role
from core.settings import Settings, SettingsRefused, read_settings
from providers.listings import list_providers
from resolvers.demo import demo_credentials, ensure_demo
from web.api import Addresses, Api, open_api
from web.health import answers_within
from web.serving import Server, listen

WORKER_STOP_SECONDS = 15.0  # a step lets go of its lease at once; rendering in the pool is simply dropped
WORKER_PATIENCE = 15.0  # seconds the banner waits to be able to say that the worker runs


async def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Raises `CannotStart` and its kin."""
    catalog = list_providers(settings)
    if settings.default_provider not in catalog:
        raise CannotStart(f"DEFAULT_PROVIDER is {settings.default_provider}, and there is only {', '.join(catalog)}.")
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listen(settings.host, settings.port))
        settings = _with_own_url(settings, listener.getsockname()[1])
        settings, addresses = await _engines(stack, settings)
        demo = None if settings.production else demo_credentials(settings.secret_key or "")
        api = await open_api(stack, settings, addresses, catalog=catalog, demo=demo)
        if demo:
            await ensure_demo(api.context, demo)
        server = Server(api.app, api.streams, api.quick)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)
        if settings.runs_worker:
            await forget_workers(api.redis)  # what one that was killed has left would make the banner lie
            worker = Supervisor("worker", lambda: _start_worker(settings, addresses))
            await worker.start()
            stack.push_async_callback(worker.stop)
        telling = asyncio.create_task(_tell(server, api, settings, demo))
        # All that has been made so far stays. Not looking through it again and again saves a third of a long answer.
        gc.collect()
        gc.freeze()
        await server.serve(sockets=[listener])
        telling.cancel()


def _with_own_url(settings: Settings, port: int) -> Settings:
    """With port 0 the system chose one; the public address follows unless PUBLIC_URL gave it."""
    url = settings.public_url
    if url.endswith(":0"):
        url = f"{url.removesuffix('0')}{port}"
    return replace(settings, port=port, public_url=url)


async def _engines(stack: AsyncExitStack, settings: Settings) -> tuple[Settings, Addresses]:
    """The engines, started or named, with a database of the newest schema; the settings with a signing key."""
    database_url, redis_url = settings.database_url, settings.redis_url
    if settings.secret_key is None:
        settings = replace(settings, secret_key=secret_in(settings.data_dir, SIGNING_KEY))
    if settings.embeds_engines:
        data = stack.enter_context(open_data_dir(settings.data_dir))
        engines = await start_engines(data, postgres=database_url is None, valkey=redis_url is None)
        stack.push_async_callback(engines.stop)
        database_url, redis_url = database_url or engines.database_url, redis_url or engines.redis_url
    assert database_url is not None
    assert redis_url is not None
    try:
        # In production the people who deploy decide when a database of theirs is migrated.
        owned = settings.database_url is None or not settings.production
        await (migrate(database_url) if owned else require_newest(database_url))
        role = await bound_role(database_url, production=settings.production)
    except (OSError, asyncpg.PostgresError) as fault:
        raise CannotStart(f"The database at DATABASE_URL cannot be used ({fault or type(fault).__name__}).") from fault
    return settings, Addresses(database_url, redis_url, role)


async def _start_worker(settings: Settings, addresses: Addresses) -> Child:
    environment = {
        **os.environ,
        "DATABASE_URL": addresses.database_url,
        "REDIS_URL": addresses.redis_url,
        "ANTIPHON_SECRET_KEY": settings.secret_key or "",
        "ANTIPHON_DATA_DIR": str(settings.data_dir),
        "PUBLIC_URL": settings.public_url,
    }
    argv = (sys.executable, "-m", "arq", "jobs.worker.WorkerSettings")
    return spawn(Program(argv=argv, environment=environment, stop_seconds=WORKER_STOP_SECONDS))


async def _tell(server: Server, api: Api, settings: Settings, demo: tuple[str, str] | None) -> None:
    """Print the banner once what it says is true."""
    await server.up.wait()
    works = await answers_within(api.checks["worker"], WORKER_PATIENCE if settings.runs_worker else 0)
    place = "beside the API" if settings.runs_worker else "on its own"
    facts = Facts(
        url=settings.public_url,
        graphiql=not settings.production,
        database="PostgreSQL, embedded" if settings.database_url is None else "PostgreSQL at DATABASE_URL",
        queue="Valkey, embedded" if settings.redis_url is None else "Redis at REDIS_URL",
        worker=f"runs {place}" if works else "none answers; start one with `arq jobs.worker.WorkerSettings`",
        provider=settings.default_provider,
        data_dir=settings.data_dir,
        demo=demo,
    )
    print(banner(facts), flush=True)  # noqa: T201 -- for the person at the terminal


def main() -> int:
    try:
        settings = read_settings(os.environ)
        configure_logs(json=settings.production)
        uvloop.run(serve(settings))
    except (SettingsRefused, CannotStart, DatabaseIsBehind, RoleIsNotBound) as reason:
        print(f"Antiphon cannot start: {reason}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
