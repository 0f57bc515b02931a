"""What must hold before anything is started, said in words a person can act on."""

import os
import shutil
import sys
from pathlib import Path

import psutil

from infra.local.state import is_free

DEFAULT_PORT = 8000
DISK_NEEDED_GB = 2.0
PYTHON = (3, 11)


class CannotStart(Exception):
    """The message says what is wrong and what to do about it."""


def check_python(version: tuple[int, int, int]) -> None:
    if version[:2] != PYTHON:
        found = ".".join(map(str, version))
        raise CannotStart(
            f"Aisle needs Python 3.11, found {found} ({sys.executable}).\n"
            "Run `make setup`, which looks for Python 3.11 and says how to get it."
        )


def check_disk(folder: Path) -> None:
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < DISK_NEEDED_GB:
        raise CannotStart(
            f"Only {free_gb:.1f} GB are free on the disk that holds {folder}; "
            f"Aisle needs {DISK_NEEDED_GB:.0f} GB.\nFree some, or set AISLE_STATE_DIR to a folder "
            "on a disk with more room."
        )


def wanted_port() -> int:
    wanted = os.environ.get("PORT") or str(DEFAULT_PORT)
    if not wanted.isdigit() or not 0 < int(wanted) < 65_536:
        raise CannotStart(f"PORT must be a number from 1 to 65535, and is {wanted!r}.")
    return int(wanted)


def check_port(port: int) -> None:
    if is_free(port):
        return
    other = next((p for p in range(port + 1, 65_536) if is_free(p)), port + 1)
    raise CannotStart(
        f"Port {port} is taken by {holder_of(port)}.\n"
        f"Stop that, or choose another port: put PORT={other} before the command."
    )


def holder_of(port: int) -> str:
    """Unknown where the system hides other people's processes."""
    try:
        pids = [
            connection.pid
            for connection in psutil.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
        ]
        process = psutil.Process(next(pid for pid in pids if pid))
        return f"`{process.name()}` (process {process.pid})"
    except (psutil.Error, StopIteration):
        return "another program"
