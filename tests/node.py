"""Runs the Node scripts of `tests/clients` and `tests/browser`. Packages are installed once, as the locks name them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parent / "clients"
BROWSER = Path(__file__).parent / "browser"
INSTALL_SECONDS = 180
SCRIPT_SECONDS = 60
BROWSER_SECONDS = 180


def run_client(script: str, *arguments: str) -> Any:
    """What `node <script> <arguments>` printed, decoded from JSON."""
    return json.loads(_run(CLIENTS, SCRIPT_SECONDS, script, *arguments))


def run_browser(url: str) -> None:
    """The pages of the server at `url`, used in Chromium. Fails with what the script says."""
    _run(BROWSER, BROWSER_SECONDS, "pages.mjs", url)


def _run(folder: Path, seconds: float, *command: str) -> str:
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    assert not missing, f"these tests need Node 20 or newer on the PATH; missing: {', '.join(missing)}"
    _install(folder)
    done = subprocess.run(["node", *command], cwd=folder, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _install(folder: Path) -> None:
    """`npm ci`, unless what this lock names is there; parallel test processes wait for the first one."""
    with (folder / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = folder / "node_modules" / f".installed-{hashlib.sha256(lock.read()).hexdigest()[:16]}"
        if mark.exists():
            return
        done = subprocess.run(["npm", "ci"], cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        assert done.returncode == 0, f"npm could not install the test clients:\n{done.stderr}"
        mark.touch()
