"""The supervisor: restarts what dies, gives up in words, and leaves nothing running."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.local import processes
from infra.local.pids import is_gone, wait_until
from infra.local.processes import Process, ProcessGaveUp, Supervisor, end_leftovers
from infra.local.state import CHECKOUT

STAYS = "import signal; print('started', flush=True); signal.pause()"
IGNORES_TERM = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('started', flush=True); signal.pause()"
)
HAS_CHILD = (
    "import signal, subprocess, sys; "
    f"subprocess.Popen([sys.executable, '-c', {STAYS!r}]); signal.pause()"
)
RUN = """
import sys
from pathlib import Path
from infra.local.processes import Process, supervised
from infra.local.signals import interruptible

program, state_dir = sys.argv[1], Path(sys.argv[2])
process = Process(name="one", arguments=[sys.executable, "-c", program], environment={})
try:
    with interruptible(), supervised([process], state_dir) as supervisor:
        supervisor.wait()
except KeyboardInterrupt:
    print("clean", flush=True)
"""


def process(name: str, program: str) -> Process:
    return Process(
        name=name, arguments=[sys.executable, "-c", program], environment=dict(os.environ)
    )


def log_of(state_dir: Path, name: str) -> str:
    log = state_dir / "logs" / f"{name}.log"
    return log.read_text() if log.exists() else ""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    running = Supervisor([process("one", STAYS), process("two", STAYS)], tmp_path)
    running.start()
    assert wait_until(lambda: "started" in log_of(tmp_path, "one") + log_of(tmp_path, "two"), 10)
    yield running
    running.stop()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A supervisor in a process of its own, over a process that has a child of its own."""
    arguments = [sys.executable, "-c", RUN, HAS_CHILD, str(tmp_path)]
    with subprocess.Popen(arguments, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as running:
        assert wait_until(lambda: "started" in log_of(tmp_path, "one"), 20)
        yield running
        running.kill()


def descendants(run: subprocess.Popen[str]) -> list[psutil.Process]:
    found = psutil.Process(run.pid).children(recursive=True)
    assert len(found) == 2
    return found


def test_a_process_that_dies_is_started_again(supervisor: Supervisor) -> None:
    first = supervisor.pids()["one"]
    other = supervisor.pids()["two"]

    os.kill(first, signal.SIGKILL)

    assert wait_until(lambda: supervisor.pids().get("one", first) != first, 10)
    assert supervisor.pids()["two"] == other


def test_stopping_leaves_no_process(supervisor: Supervisor) -> None:
    children = [psutil.Process(pid) for pid in supervisor.pids().values()]

    supervisor.stop()
    supervisor.stop()

    assert all(map(is_gone, children))
    supervisor.wait()


def test_a_process_that_keeps_dying_is_named_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "FIRST_PAUSE_S", 0.01)
    dying = "print('my settings are missing'); raise SystemExit(3)"
    supervisor = Supervisor([process("steady", STAYS), process("drain", dying)], tmp_path)
    supervisor.start()

    with pytest.raises(ProcessGaveUp, match=r"(?s)`drain` died 5 times.*my settings are missing"):
        supervisor.wait()

    assert log_of(tmp_path, "drain").count("missing") == 5
    assert supervisor.pids() == {}


def test_a_process_that_cannot_be_started_at_all_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "CHECKOUT", tmp_path / "nowhere")
    supervisor = Supervisor([process("lost", STAYS)], tmp_path)
    supervisor.start()

    with pytest.raises(ProcessGaveUp, match="could not be started"):
        supervisor.wait()


def test_a_process_that_ignores_the_request_to_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_PATIENCE_S", 0.1)
    supervisor = Supervisor([process("stubborn", IGNORES_TERM)], tmp_path)
    supervisor.start()
    assert wait_until(lambda: "started" in log_of(tmp_path, "stubborn"), 10)
    child = psutil.Process(supervisor.pids()["stubborn"])

    supervisor.stop()

    assert is_gone(child)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_asked_to_end_takes_everything_with_it(
    run: subprocess.Popen[str], ending: signal.Signals
) -> None:
    started = descendants(run)

    run.send_signal(ending)
    output, _ = run.communicate(timeout=20)

    assert all(map(is_gone, started))
    assert "clean" in output
    assert run.returncode == 0


def test_interrupting_twice_is_as_good_as_once(run: subprocess.Popen[str]) -> None:
    started = descendants(run)
    assert run.stdout

    run.send_signal(signal.SIGINT)
    while "Stopping" not in run.stdout.readline():
        pass
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=20)

    assert all(map(is_gone, started))
    assert "clean" in output


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
def test_a_killed_run_takes_its_processes_with_it(
    run: subprocess.Popen[str], tmp_path: Path
) -> None:
    leader, grandchild = descendants(run)

    run.kill()

    assert wait_until(lambda: is_gone(leader), 10)
    end_leftovers(tmp_path)
    assert is_gone(grandchild)


def test_the_log_of_the_run_before_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    for word in ("first", "second"):
        supervisor = Supervisor([process("one", f"print('{word}', flush=True);{STAYS}")], tmp_path)
        supervisor.start()
        assert wait_until(lambda: "started" in log_of(tmp_path, "one"), 10)
        supervisor.stop()

    assert "first" not in log_of(tmp_path, "one")
    assert "first" in (tmp_path / "logs" / "one.previous.log").read_text()
