"""What keeps Aisle from starting is said in words a person can act on."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import preflight
from infra.local.preflight import CannotStart
from infra.local.state import CHECKOUT, free_port


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_its_holder_and_the_remedy(taken_port: int) -> None:
    with pytest.raises(CannotStart) as refusal:
        preflight.check_port(taken_port)

    words = str(refusal.value)
    assert f"Port {taken_port} is taken by" in words
    assert f"(process {os.getpid()})" in words
    assert "PORT=" in words


def test_a_holder_that_cannot_be_known_is_another_program(
    taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight.psutil, "net_connections", lambda kind: [])

    with pytest.raises(CannotStart, match="taken by another program"):
        preflight.check_port(taken_port)


def test_a_free_port_is_accepted() -> None:
    preflight.check_port(free_port())


@pytest.mark.parametrize("port", ["none", "0", "65536", "-1"])
def test_a_port_that_is_no_port_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", port)

    with pytest.raises(CannotStart, match="from 1 to 65535"):
        preflight.wanted_port()


def test_another_python_is_refused_by_number() -> None:
    with pytest.raises(CannotStart, match=r"needs Python 3\.11, found 3\.12\.1"):
        preflight.check_python((3, 12, 1))


def test_too_little_disk_is_refused_with_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "DISK_NEEDED_GB", 1e9)

    with pytest.raises(CannotStart, match=r"Only \d+\.\d GB are free.*\n?.*AISLE_STATE_DIR"):
        preflight.check_disk(tmp_path)


def test_the_command_line_shows_the_words_without_a_traceback(
    taken_port: int, tmp_path: Path
) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "infra.local", "up"],
        cwd=CHECKOUT,
        env={**os.environ, "PORT": str(taken_port), "AISLE_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 1
    assert f"Port {taken_port} is taken" in finished.stderr
    assert "Traceback" not in finished.stderr
