"""Runs the Node scripts of `tests/clients`. Their packages are installed once, as the lock names them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parent / "clients"
INSTALL_SECONDS = 180
SCRIPT_SECONDS = 60


def run_client(script: str, *arguments: str) -> Any:
    """What `node <script> <arguments>` printed, decoded from JSON."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    assert not missing, f"these tests need Node 20 or newer on the PATH; missing: {', '.join(missing)}"
    _install()
    done = subprocess.run(
        ["node", script, *arguments], cwd=CLIENTS, capture_output=True, text=True, timeout=SCRIPT_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _install() -> None:
    """`npm ci`, unless what this lock names is there; parallel test processes wait for the first one."""
    with (CLIENTS / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = CLIENTS / "node_modules" / f".installed-{hashlib.sha256(lock.read()).hexdigest()[:16]}"
        if mark.exists():
            return
        done = subprocess.run(["npm", "ci"], cwd=CLIENTS, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        assert done.returncode == 0, f"npm could not install the test clients:\n{done.stderr}"
        mark.touch()
