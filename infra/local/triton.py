"""`make triton`: a Triton server on loopback, begun anew when it no longer answers."""

import os
import time
from pathlib import Path

from infra.local.signals import ignore_interruptions, interruptible
from infra.local.state import private_folder, state_folder
from infra.local.triton_server import LocalTriton

LOOK_EVERY_S = 2.0
MISSES = 2
"""Inferences in a row that fail before the server is begun anew."""


def run() -> int:
    """Start, say how to reach it, and watch it until Ctrl-C."""
    server = local_triton(private_folder(state_folder()))
    with interruptible():
        try:
            server.start()
            print(f"Triton answers at {server.url}, for example:")
            print(f"AISLE_INFERENCE=triton AISLE_TRITON_URL={server.url} make up", flush=True)
            watch(server)
        finally:
            ignore_interruptions()
            server.stop()
    return 0


def local_triton(state_dir: Path) -> LocalTriton:
    """Of the releases that an installation with this state folder makes."""
    store = os.environ.get("AISLE_OBJECT_STORE") or state_dir / "objects"
    return LocalTriton(state_dir, Path(store) / "releases")


def is_wanted() -> bool:
    """Whether a start is to run a server of its own: one that was named is left alone."""
    asks_triton = os.environ.get("AISLE_INFERENCE") == "triton"
    return asks_triton and not os.environ.get("AISLE_TRITON_URL")


def watch(server: LocalTriton) -> None:
    """A server whose model process died goes on saying that it is well: only answers count."""
    misses = 0
    while True:
        time.sleep(LOOK_EVERY_S)
        misses = 0 if server.is_ready() else misses + 1
        if misses >= MISSES or server.process() is None:
            print("Triton does not answer and is begun anew.", flush=True)
            server.kill()
            server.start()
            misses = 0
