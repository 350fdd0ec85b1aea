"""A process with embedded engines, to be killed: `python -m tests.engine_instance DIRECTORY UID [createdb]`.

Prints one line of JSON, then works until its stdin is closed (an orderly stop) or it is killed. Everything is
imported before the change of user, as root's Python may lie where that user cannot read.
"""

from __future__ import annotations

import asyncio
import ctypes
import encodings.idna  # noqa: F401  imported late by socket
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog

from core.datadir import CannotStart, open_data_dir
from core.engines import start_engines

PR_SET_DUMPABLE = 4


def become(uid: int) -> None:
    """As if this process had been started by `uid`, whose own /proc/self it then is."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def tell(facts: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def serve(directory: Path, *, createdb: bool) -> None:
    with open_data_dir(directory) as data:
        engines = await start_engines(data, postgres=True, valkey=True, createdb=createdb)
        told = {"database_url": engines.database_url, "redis_url": engines.redis_url, "pids": engines.pids}
        tell(told)
        closed = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), closed.set)
        await closed.wait()
        await engines.stop()


def main(directory: str, uid: str, *options: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if int(uid) != os.geteuid():
        become(int(uid))
    try:
        asyncio.run(serve(Path(directory), createdb="createdb" in options))
    except CannotStart as reason:
        tell({"refused": str(reason), "kind": type(reason).__name__})
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
