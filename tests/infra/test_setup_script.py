"""`make setup` on a machine that lacks something."""

import shutil
import subprocess
from pathlib import Path

import pytest

from infra.local.state import CHECKOUT

TOOLS = ("sh", "mkdir", "chmod", "cat")


@pytest.fixture
def bare_machine(tmp_path: Path) -> Path:
    """A folder to be the whole PATH, with the base tools and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return folder


def pretend(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def set_up(bare_machine: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CHECKOUT / "infra" / "local" / "setup.sh"],
        cwd=bare_machine.parent,
        env={"PATH": str(bare_machine)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_another_python_is_named_with_the_way_to_the_right_one(bare_machine: Path) -> None:
    pretend(bare_machine, "python3", "echo 3.12.1")

    finished = set_up(bare_machine)

    assert finished.returncode == 1
    assert f"Aisle needs Python 3.11, found 3.12.1 at {bare_machine}/python3" in finished.stderr
    assert "apt-get install python3.11" in finished.stderr


def test_no_python_at_all_is_said_so(bare_machine: Path) -> None:
    finished = set_up(bare_machine)

    assert finished.returncode == 1
    assert "Aisle needs Python 3.11, found no Python at all" in finished.stderr


def test_a_name_that_exists_but_does_not_run_is_passed_over(bare_machine: Path) -> None:
    pretend(bare_machine, "python3.11", "echo 'version not installed' >&2; exit 127")
    pretend(bare_machine, "python3", "echo 3.13.0")

    finished = set_up(bare_machine)

    assert "found 3.13.0" in finished.stderr


def test_a_python_without_venv_is_said_so(bare_machine: Path) -> None:
    pretend(
        bare_machine, "python3.11", 'case "$2" in *ensurepip*) exit 1 ;; *) echo 3.11.2 ;; esac'
    )
    pretend(bare_machine, "id", "echo 1000")

    finished = set_up(bare_machine)

    assert finished.returncode == 1
    assert "apt-get install python3.11-venv" in finished.stderr


def test_make_alone_explains_every_target() -> None:
    finished = subprocess.run(["make"], cwd=CHECKOUT, capture_output=True, text=True, check=True)

    for target in ("setup", "demo", "up", "test", "check", "eval", "bench", "clean"):
        assert f"make {target} " in finished.stdout
