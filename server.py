"""The composition root: settings → engines → database → application, and in development a worker beside it.

`python server.py` starts what DATABASE_URL and REDIS_URL do not name. It says in one line why it cannot start.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import replace

import structlog
import uvloop

from auth.keys import derive_key
from core.banner import Facts, banner
from core.children import Child, Program, Supervisor, spawn
from core.datadir import CannotStart, open_data_dir
from core.engines import start_engines
from core.log import configure_logs
from core.migrations import DatabaseIsBehind, migrate, require_newest
from core.roles import RoleIsNotBound, bound_role
from core.settings import Settings, SettingsRefused, read_settings
from domain.errors import Refused
from providers.listings import list_providers
from resolvers import accounts
from web.api import Addresses, Api, open_api
from web.health import ask, ask_all
from web.serving import Server, listen

DEMO_EMAIL = "demo@antiphon.local"
WORKER_STOP_SECONDS = 15.0  # a step lets go of its lease at once; rendering in the pool is simply dropped
WORKER_PATIENCE = 15.0  # how long the banner waits to be able to say that the worker runs


async def serve(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Raises `CannotStart` and its kin."""
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listen(settings.host, settings.port))
        settings = _with_own_url(settings, listener.getsockname()[1])
        settings, addresses, engines = await _engines(stack, settings)
        demo = None if settings.production else (DEMO_EMAIL, _demo_password(settings))
        api = await open_api(stack, settings, addresses, catalog=list_providers(settings), demo=demo)
        runs_worker = settings.embeds_engines or not settings.production
        if demo:
            await _ensure_demo(api, demo)
        server = Server(api.app, api.streams)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)
        if runs_worker:
            worker = Supervisor("worker", lambda: _start_worker(settings, addresses))
            await worker.start()
            stack.push_async_callback(worker.stop)
        facts = Facts(
            url=settings.public_url,
            graphiql=not settings.production,
            engines=engines,
            worker="runs separately",
            provider=settings.default_provider,
            data_dir=settings.data_dir,
            demo=demo,
        )
        telling = asyncio.create_task(_tell(server, api, facts, runs_worker=runs_worker))
        await server.serve(sockets=[listener])
        telling.cancel()


def _with_own_url(settings: Settings, port: int) -> Settings:
    """With port 0 the system chose one; the public address follows unless PUBLIC_URL gave it."""
    url = settings.public_url.removesuffix(":0") + f":{port}" if settings.port == 0 else settings.public_url
    return replace(settings, port=port, public_url=url)


async def _engines(stack: AsyncExitStack, settings: Settings) -> tuple[Settings, Addresses, list[tuple[str, str]]]:
    """The engines, started or named, with a database of the newest schema; settings with a signing key."""
    database_url, redis_url = settings.database_url, settings.redis_url
    if settings.embeds_engines or settings.secret_key is None:
        data = stack.enter_context(open_data_dir(settings.data_dir))
        settings = replace(settings, secret_key=settings.secret_key or data.secret("signing-key"))
        engines = await start_engines(data, postgres=database_url is None, valkey=redis_url is None)
        stack.push_async_callback(engines.stop)
        database_url = database_url or engines.database_url
        redis_url = redis_url or engines.redis_url
    assert database_url is not None
    assert redis_url is not None
    try:
        if settings.production and settings.database_url is not None:
            await require_newest(database_url)
        else:
            await migrate(database_url)
        role = await bound_role(database_url, production=settings.production)
    except OSError as fault:
        raise CannotStart(f"The database at DATABASE_URL does not answer ({fault}).") from fault
    told = [
        ("PostgreSQL", "embedded" if settings.database_url is None else "from DATABASE_URL"),
        (
            "Valkey" if settings.redis_url is None else "Redis",
            "embedded" if settings.redis_url is None else "from REDIS_URL",
        ),
    ]
    return settings, Addresses(database_url, redis_url, role), told


def _demo_password(settings: Settings) -> str:
    """The same at every start on the same data, and nobody's guess."""
    return hashlib.sha256(derive_key(settings.secret_key or "", "demo-password")).hexdigest()[:12]


async def _ensure_demo(api: Api, demo: tuple[str, str]) -> None:
    try:
        await accounts.register(api.context, *demo, username="demo")
    except Refused as refused:
        structlog.get_logger().debug("demo.kept", reason=str(refused))


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


async def _tell(server: Server, api: Api, facts: Facts, *, runs_worker: bool) -> None:
    """Print the banner once what it says is true."""
    while not server.started:
        await asyncio.sleep(0.01)
    worker = facts.worker
    if runs_worker:
        deadline = asyncio.get_running_loop().time() + WORKER_PATIENCE
        while not await ask(api.checks["worker"]) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        worker = "runs beside the API" if await ask(api.checks["worker"]) else "does not answer yet; see the log"
    up = await ask_all(api.checks)
    print(banner(replace(facts, worker=worker)), flush=True)  # noqa: T201 -- this is for the person at the terminal
    if not all(up.values()):
        structlog.get_logger().warning("health.degraded", **up)


def main() -> int:
    try:
        settings = read_settings(os.environ)
    except SettingsRefused as refused:
        print("\n".join(refused.problems), file=sys.stderr)  # noqa: T201
        return 1
    configure_logs(json=settings.production)
    try:
        uvloop.run(serve(settings))
    except (CannotStart, DatabaseIsBehind, RoleIsNotBound) as reason:
        print(f"Antiphon cannot start. {reason}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
