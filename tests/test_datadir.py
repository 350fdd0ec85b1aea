"""The data directory: one owner, secrets that stay, refusals in one line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from core import datadir, engine_files
from core.datadir import (
    DataDirectory,
    DataDirectoryInUse,
    DataDirectoryNotWritable,
    DiskIsFull,
    SecretIsEmpty,
    open_data_dir,
    told_plainly,
)
from core.engine_files import EngineLog
from tests.engines import (
    USERS,
    directory_for,
    instance,
)


@pytest.mark.anyio
async def test_a_second_instance_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    with instance(tmp_path / "data", os.geteuid()) as it:
        it.told()
        with pytest.raises(DataDirectoryInUse, match=f"in use by process {it.process.pid}") as refused:
            open_data_dir(tmp_path / "data")
        assert refused.value.pid == it.process.pid
        with instance(tmp_path / "data", os.geteuid()) as second:
            assert second.told()["kind"] == "DataDirectoryInUse"
            assert second.ended() == 1
        it.end()


def test_a_directory_that_is_not_writable_is_refused_in_one_line() -> None:
    uid = USERS[-1]
    with directory_for(uid) as directory:
        directory.mkdir(mode=0o500)
        os.chown(directory, uid, uid)
        with instance(directory, uid) as it:
            told = it.told()
            assert it.ended() == 1
    assert told["kind"] == "DataDirectoryNotWritable"
    assert f"{directory} is not writable" in told["refused"]
    assert "\n" not in told["refused"]


def test_a_file_where_the_directory_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataDirectoryNotWritable, match="Not a directory"):
        open_data_dir(tmp_path / "data")


def test_too_little_room_is_refused_with_the_figures(tmp_path: Path) -> None:
    with pytest.raises(DiskIsFull, match=r"is full \(\d+ MiB left") as refused:
        open_data_dir(tmp_path, room_bytes=1 << 60)
    assert 0 < refused.value.free_bytes < 1 << 60
    open_data_dir(tmp_path).close()  # the refusal left no lock behind


def test_a_disk_that_fills_up_while_a_file_is_written_is_named() -> None:
    with pytest.raises(DiskIsFull), told_plainly(Path("/dev")), open("/dev/full", "w") as full:
        full.write("x")


def test_a_secret_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    with open_data_dir(tmp_path) as data:
        first, other = data.secret("signing-key", 48), data.secret("another", 48)
        assert len(first) == 64
        assert first != other
        assert data.secret("signing-key", 48) == first
    with open_data_dir(tmp_path) as again:
        assert again.secret("signing-key", 48) == first
    assert stat.S_IMODE((tmp_path / "secrets/signing-key").stat().st_mode) == 0o600


def test_an_emptied_secret_is_not_replaced_silently(tmp_path: Path) -> None:
    with open_data_dir(tmp_path) as data:
        data.secret("signing-key")
        (tmp_path / "secrets/signing-key").write_text("")
        with pytest.raises(SecretIsEmpty, match="restore the file from a backup"):
            data.secret("signing-key")


def test_a_full_log_is_emptied_and_its_last_part_kept(tmp_path: Path) -> None:
    with open_data_dir(tmp_path) as data:
        log = EngineLog(data, "postgres")
        with log.open() as descriptor:
            os.write(descriptor, b"x" * (engine_files.LOG_BYTES + 1))
            log.trim()
            os.write(descriptor, b"after\n")
        assert log.path.read_text() == "after\n"
        assert (tmp_path / "postgres.log.1").stat().st_size == engine_files.LOG_BYTES + 1


def test_an_unfinished_write_leaves_the_old_text(tmp_path: Path) -> None:
    with open_data_dir(tmp_path) as data:
        data.write("note", "old")
        with pytest.raises(UnicodeEncodeError):
            data.write("note", "new \ud800")
        assert (tmp_path / "note").read_text() == "old\n"
    assert isinstance(data, DataDirectory)
    assert sorted(path.name for path in tmp_path.iterdir()) == [datadir.LOCK, "note"]
