"""`python -m infra.local up` over a stand-in product: it starts, ends, and ends badly."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.local.pids import is_gone
from infra.local.processes import MARK, end_leftovers
from infra.local.state import CHECKOUT, free_port

API = """
async def answer(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ready"})

def create_app():
    return answer
"""
WORKER = """
import os
from celery import Celery
app = Celery("stand-in", broker=os.environ["REDIS_URL"])
"""
PRODUCT = {
    "backend/__init__.py": "",
    "backend/cli.py": "import os; assert os.environ['DATABASE_URL']",
    "backend/app.py": API,
    "backend/worker.py": WORKER,
    "backend/events/__init__.py": "",
    "backend/events/drain.py": "import signal; signal.pause()",
    "ml/__init__.py": "",
    "ml/worker.py": WORKER,
}
Up = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Our own code beside a product that only starts."""
    folder = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "infra", folder / "infra")
    for name, source in PRODUCT.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(source)
    return folder


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def up(checkout: Path, port: int, state_dir: Path) -> Iterator[Up]:
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        run = subprocess.Popen(
            [sys.executable, "-m", "infra.local", "up"],
            cwd=checkout,
            env={**os.environ, "PORT": str(port), "AISLE_STATE_DIR": str(state_dir)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(run)
        return run

    yield start
    for run in started:
        run.kill()
        run.communicate()
    end_leftovers(state_dir)


def read_until(run: "subprocess.Popen[str]", word: str) -> None:
    assert run.stdout
    for line in run.stdout:
        if word in line:
            return
    pytest.fail(f"ended without saying {word}")


def product_of(state_dir: Path) -> list[psutil.Process]:
    def is_ours(process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == str(state_dir)
        except (psutil.Error, OSError):
            return False

    return [process for process in psutil.process_iter() if is_ours(process)]


def status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/health/ready")
    answer = connection.getresponse().status
    connection.close()
    return answer


def test_it_starts_and_ends_leaving_nothing(up: Up, port: int, state_dir: Path) -> None:
    run = up()
    read_until(run, f"http://127.0.0.1:{port}/v1")
    assert status(port) == 200
    assert len(product_of(state_dir)) >= 5

    run.send_signal(signal.SIGTERM)
    output, _ = run.communicate(timeout=30)

    assert run.returncode == 0
    assert "Stopped." in output
    assert product_of(state_dir) == []
    assert not (state_dir / "redis" / "redis.pid").exists()


def test_it_starts_again_after_it_was_killed(up: Up, port: int, state_dir: Path) -> None:
    killed = up()
    read_until(killed, "Ctrl-C")
    product = product_of(state_dir)
    killed.kill()

    began = time.monotonic()
    read_until(up(), "Ctrl-C")

    assert time.monotonic() - began < 20
    assert status(port) == 200
    assert all(map(is_gone, product))


def test_a_migration_that_fails_is_shown(up: Up, checkout: Path, state_dir: Path) -> None:
    (checkout / "backend" / "cli.py").write_text("raise SystemExit('relation is missing')")

    output, _ = (run := up()).communicate(timeout=30)

    assert run.returncode == 1
    assert "could not be brought up to date:\nrelation is missing" in output
    assert "Traceback" not in output
    assert product_of(state_dir) == []


def test_a_product_that_cannot_start_is_named_and_all_is_stopped(
    up: Up, checkout: Path, state_dir: Path
) -> None:
    (checkout / "backend" / "app.py").write_text("raise SystemExit('a setting is missing')")
    source = checkout / "infra" / "local" / "processes.py"
    source.write_text(source.read_text().replace("FIRST_PAUSE_S = 0.5", "FIRST_PAUSE_S = 0.01"))

    output, _ = (run := up()).communicate(timeout=60)

    assert run.returncode == 1
    assert "`api` died 5 times" in output
    assert "a setting is missing" in output
    assert "Traceback" not in output
    assert product_of(state_dir) == []
