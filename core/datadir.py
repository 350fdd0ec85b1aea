"""The data directory: one folder that everything the product keeps on this machine lives in.

One process at a time owns it, by a lock that the kernel releases when that process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

LOCK = "antiphon.lock"
SIGNING_KEY = "signing-key"  # the secret that stands in for ANTIPHON_SECRET_KEY in development

# A fresh cluster takes 39 MB (measured, PostgreSQL 18.6), its write-ahead log up to 512 MB, one track about
# 12 MB with its WAV and stems: below this the first tracks would fail, which is worse than not starting.
ROOM_BYTES = 200 * 1024 * 1024

MIB = 1024 * 1024


class CannotStart(Exception):
    """Why the product does not start, in one line that says what to do. It is shown as it is."""


class DataDirectoryInUse(CannotStart):
    """Another instance holds the lock; `pid` is its process, None when it did not leave a number."""

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"The data directory {path} is in use by {holder}: stop that instance first, "
            "or set ANTIPHON_DATA_DIR to another directory."
        )
        self.path = path
        self.pid = pid


class DataDirectoryNotWritable(CannotStart):
    """Files cannot be made in the data directory; `reason` is the system's word for it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"The data directory {path} is not writable ({reason}): give it to user {os.geteuid()}, "
            "or set ANTIPHON_DATA_DIR to another directory."
        )
        self.path = path
        self.reason = reason


class DiskIsFull(CannotStart):
    """The file system of the data directory has `free_bytes` left, which is not enough."""

    def __init__(self, path: Path, free_bytes: int) -> None:
        super().__init__(
            f"The disk under {path} is full ({free_bytes // MIB} MiB left, {ROOM_BYTES // MIB} MiB needed): "
            "make room, or set ANTIPHON_DATA_DIR to a directory on another disk."
        )
        self.path = path
        self.free_bytes = free_bytes


class SecretIsEmpty(CannotStart):
    """A secret's file was emptied by somebody or something: it is never filled again silently."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"The secret in {path} is empty: restore the file from a backup, or delete it.")
        self.path = path


class DataDirectory:
    """An open, locked data directory. Close it last: the lock ends with it (and with this process)."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def secret(self, name: str, nbytes: int = 32) -> str:
        """As `secret_in`, of this directory."""
        return secret_in(self.path, name, nbytes)

    def write(self, name: str, text: str) -> None:
        """Replace the file `name` below the directory durably, whole or not at all (mode 0600)."""
        target = self.path / name
        with told_plainly(self.path):
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(text + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
            sync_folder(target.parent)

    def close(self) -> None:
        os.close(self._lock)

    def __enter__(self) -> DataDirectory:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def secret_in(path: Path, name: str, nbytes: int = 32) -> str:
    """URL-safe text of `nbytes` random bytes, made on first use and the same ever after (file mode 0600).

    Needs no lock: of several processes that make it at once one wins, and all get its text. Raises `SecretIsEmpty`,
    and `CannotStart` when the file cannot be read or made.
    """
    folder, made = path / "secrets", secrets.token_urlsafe(nbytes)
    with told_plainly(path):
        _make(path)
        folder.mkdir(mode=0o700, exist_ok=True)
        if not (folder / name).exists():
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(made + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, folder / name)
            finally:
                Path(temporary).unlink(missing_ok=True)
            sync_folder(folder)
        text = (folder / name).read_text().strip()
    if not text:
        raise SecretIsEmpty(folder / name)
    return text


def open_data_dir(path: Path, *, room_bytes: int = ROOM_BYTES) -> DataDirectory:
    """Make `path` where it is missing, and take it for this process alone.

    Raises `DataDirectoryInUse`, `DataDirectoryNotWritable` or `DiskIsFull`. The lock's descriptor is not
    inherited by programs that are started; a plain `fork` without `exec` would share it, so fork no
    long-lived helpers from here.
    """
    path = path.absolute()
    with told_plainly(path):
        _make(path)
        lock = _lock(path)
    try:
        with told_plainly(path), tempfile.TemporaryFile(dir=path):
            free = shutil.disk_usage(path).free
        if free < room_bytes:
            raise DiskIsFull(path, free)
    except BaseException:
        os.close(lock)
        raise
    return DataDirectory(path, lock)


def _make(path: Path) -> None:
    """A folder that only we can list.

    Made by root it can be walked through (0711): the engines then run under another user id, and may need the
    copy of their programs that lies in it. Everything below is 0700 or 0600.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir()
    except FileExistsError:
        return
    path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def _lock(path: Path) -> int:
    """The descriptor that holds the lock. The number in the file is for people: the kernel's lock counts."""
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).strip()
        os.close(lock)
        raise DataDirectoryInUse(path, int(holder) if holder.isdigit() else None) from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: a renamed file survives a power cut only after this."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def told_plainly(path: Path) -> Iterator[None]:
    """Turn the system's refusals below `path` into the sentence that fits."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskIsFull(path, 0) from error
        raise DataDirectoryNotWritable(path, error.strerror or str(error)) from error
