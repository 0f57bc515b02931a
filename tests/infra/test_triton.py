"""`make triton`: whatever dies, the server answers again; stopped, nothing of it is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.local import binaries
from infra.local.pids import family, is_gone, wait_until
from infra.local.services import ServiceUnavailable
from infra.local.state import CHECKOUT
from infra.local.triton import local_triton
from infra.local.triton_server import SHARED_MEMORY, LocalTriton
from ml.serving.triton_alive import is_alive

PATIENCE_S = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    local_triton(tmp_path).remove()


@pytest.fixture
def watching(folder: Path, triton: LocalTriton) -> Iterator[subprocess.Popen[str]]:
    """The command, running and answering; `triton` says first whether this machine can."""
    environment = {**os.environ, "AISLE_STATE_DIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-m", "infra.local", "triton"],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "Triton answers at" in process.stdout.readline()
        yield process
        process.send_signal(signal.SIGTERM)


def server_in(folder: Path) -> psutil.Process:
    found = local_triton(folder).process()
    assert found is not None
    return found


def test_it_is_begun_anew_when_the_models_process_dies(
    folder: Path, watching: subprocess.Popen[str]
) -> None:
    url = local_triton(folder).url
    before = server_in(folder)
    for stub in before.children():
        stub.kill()

    assert wait_until(lambda: is_gone(before), PATIENCE_S)
    assert wait_until(lambda: is_alive(url), PATIENCE_S)


def test_stopped_it_leaves_nothing_behind(folder: Path, watching: subprocess.Popen[str]) -> None:
    port = local_triton(folder).account.port
    relatives = family(server_in(folder))
    assert list(SHARED_MEMORY.glob(f"aisle_{port}_*"))

    watching.send_signal(signal.SIGTERM)

    assert watching.wait(PATIENCE_S) == 0
    assert all(map(is_gone, relatives))
    assert not list(SHARED_MEMORY.glob(f"aisle_{port}_*"))


def test_a_model_process_that_hangs_does_not_outlive_its_server(
    folder: Path, triton: LocalTriton
) -> None:
    server = local_triton(folder)
    server.start()
    process = server_in(folder)
    stubs = process.children()
    for stub in stubs:
        stub.suspend()
    process.kill()
    assert wait_until(lambda: is_gone(process), PATIENCE_S)
    assert not any(map(is_gone, stubs))

    server.start()
    left = [stub for stub in stubs if not is_gone(stub)]
    server.kill()

    assert not left


def test_where_the_server_cannot_run_it_is_said_in_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries.platform, "machine", lambda: "arm64")

    with pytest.raises(ServiceUnavailable, match="Leave AISLE_INFERENCE out"):
        local_triton(folder).start()
