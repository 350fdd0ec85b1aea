"""The peers, installed: what `bench/peers/package-lock.json` names, with a Node that they support among it."""

from __future__ import annotations

import asyncio
import json
import platform
import shutil
from pathlib import Path

from bench.reads_contenders import PEERS

INSTALL = ("ci", "--no-audit", "--no-fund", "--loglevel=error")  # the caller's Node may be older than what is fetched
INSTALL_SECONDS = 600.0
MODULES = PEERS / "node_modules"
LOCK, INSTALLED = PEERS / "package-lock.json", MODULES / ".package-lock.json"
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}
SHOWN = ("mercurius", "fastify", "pg", "postgraphile")


class PeersNotInstalled(Exception):
    """Why nobody is measured beside ours, in a sentence."""


async def install_peers() -> Path:
    """The peers' Node, after installing what is not there yet. Raises `PeersNotInstalled`."""
    node = MODULES / f"node-linux-{ARCHITECTURES.get(platform.machine(), 'x64')}" / "bin" / "node"
    if INSTALLED.exists() and INSTALLED.stat().st_mtime >= LOCK.stat().st_mtime and node.exists():
        return node
    npm = shutil.which("npm")
    if npm is None:
        raise PeersNotInstalled("There is no npm on this machine to install them with; any Node.js 20 or newer has it.")
    pipe, out = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(npm, *INSTALL, cwd=PEERS, stdout=pipe, stderr=out)
    try:
        async with asyncio.timeout(INSTALL_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        raise PeersNotInstalled(f"npm has not installed them within {INSTALL_SECONDS:g} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0 or not node.exists():
        raise PeersNotInstalled(f"npm could not install them: {said.decode(errors='replace').strip()[-500:]}")
    return node


def versions() -> dict[str, str]:
    """Of what was installed."""
    packages = json.loads(INSTALLED.read_text())["packages"]
    found = {name: packages[f"node_modules/{name}"]["version"] for name in SHOWN}
    node = next(package for name, package in packages.items() if name.startswith("node_modules/node-linux-"))
    return {"Node": node["version"], **found}
