"""Starting: what cannot be is said in one line, and nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.serving import REPOSITORY, serving, temporary_place
from resolvers.demo import demo_credentials, ensure_demo
from tests.studio import Studio


def run_server(**environment: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANTIPHON_", "DATABASE_", "REDIS_"))
    }
    return subprocess.run(
        [sys.executable, "server.py"],
        cwd=REPOSITORY,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def refusal_of(**environment: str) -> str:
    """The only line that a server which cannot start has to say."""
    ended = run_server(**environment)
    assert ended.returncode == 1
    reasons = [line for line in ended.stderr.splitlines() if "engine.started" not in line]
    assert len(reasons) == 1, ended.stderr
    return reasons[0]


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        reason = refusal_of(ANTIPHON_PORT=port, ANTIPHON_DATA_DIR=str(tmp_path / "data"))
    assert port in reason
    assert "ANTIPHON_PORT" in reason
    assert not (tmp_path / "data").exists()


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    reason = refusal_of(ANTIPHON_PORT="0", ANTIPHON_DATA_DIR=str(tmp_path / "file" / "data"))
    assert str(tmp_path / "file" / "data") in reason
    assert "ANTIPHON_DATA_DIR" in reason


def test_a_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    reason = refusal_of(
        ANTIPHON_PORT="0",
        ANTIPHON_DATA_DIR=str(tmp_path / "data"),
        DATABASE_URL="postgresql://somebody@127.0.0.1:1/nothing",
        REDIS_URL="redis://127.0.0.1:1",
    )
    assert "DATABASE_URL" in reason


def test_all_malformed_variables_are_told_at_once() -> None:
    ended = run_server(ANTIPHON_ENV="production", ANTIPHON_PORT="eighty", REDIS_URL="nonsense")
    assert ended.returncode == 1
    for name in ("ANTIPHON_PORT", "REDIS_URL", "ANTIPHON_SECRET_KEY"):
        assert name in ended.stderr


async def test_a_second_instance_on_the_same_data_is_refused_and_the_first_goes_on() -> None:
    with temporary_place() as place:
        async with serving(place, "data") as first:
            reason = await asyncio.to_thread(refusal_of, ANTIPHON_PORT="0", ANTIPHON_DATA_DIR=str(place.data("data")))
            assert str(first.pid) in reason
            os.kill(first.pid, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_everything_in_order(number: signal.Signals) -> None:
    with temporary_place() as place:
        async with serving(place, "data") as started:
            family = descendants(started.pid)
            assert len(family) >= 3  # both engines and the worker
            os.kill(started.pid, number)
            async with asyncio.timeout(20):
                while any(alive(pid) for pid in (started.pid, *family)):
                    await asyncio.sleep(0.05)


async def test_a_killed_server_leaves_no_process_behind() -> None:
    with temporary_place() as place:
        async with serving(place, "data") as started:
            family = descendants(started.pid)
            os.kill(started.pid, signal.SIGKILL)
            async with asyncio.timeout(20):
                while any(alive(pid) for pid in family):
                    await asyncio.sleep(0.05)


def descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = list(parents.get(pid, []))
    for child in found:
        found += parents.get(child, [])
    return found


def alive(pid: int) -> bool:
    """Running, and not only waiting for its parent to hear of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_provider_that_there_is_not_is_named(tmp_path: Path) -> None:
    reason = refusal_of(ANTIPHON_PORT="0", ANTIPHON_DATA_DIR=str(tmp_path / "data"), DEFAULT_PROVIDER="suno")
    assert "DEFAULT_PROVIDER" in reason
    assert "synth" in reason


async def test_the_demo_account_has_the_password_that_is_shown_whatever_key_it_was_made_with(studio: Studio) -> None:
    login = "mutation ($i: LoginInput!) { login(input: $i) { session { user { email } } errors { code } } }"
    for key in ("one key", "another key"):
        email, password = demo_credentials(key)
        for _ in range(2):
            await ensure_demo(studio.api.context, (email, password))
        answer = await studio.get(login, {"i": {"email": email, "password": password}})
        assert answer == {"session": {"user": {"email": email}}, "errors": []}
