"""The private state folder: secrets, remembered ports, locks."""

import contextlib
import fcntl
import os
import random
import secrets
import socket
from collections.abc import Generator
from pathlib import Path

import msgspec
from msgspec import Struct

CHECKOUT = Path(__file__).resolve().parents[2]

# Below the range the kernel hands to outgoing connections: a client that retries against a stopped
# server on a port from that range can be given the very port, and then holds it.
PORTS = range(20_000, 30_000)


class Account(Struct, frozen=True, kw_only=True):
    """How to reach one local server; chosen once and remembered."""

    port: int
    password: str


def state_folder() -> Path:
    return Path(os.environ.get("AISLE_STATE_DIR") or CHECKOUT / ".local").resolve()


def private_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def write_private(path: Path, content: bytes) -> None:
    """Replace the file at once; nobody else may read it, not even while it is written."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def read_account(path: Path) -> Account | None:
    if not path.exists():
        return None
    return msgspec.json.decode(path.read_bytes(), type=Account)


def account_with_free_port(path: Path) -> Account:
    """The remembered account, on another port if somebody took the remembered one meanwhile."""
    known = read_account(path)
    if known and is_free(known.port):
        return known
    password = known.password if known else secrets.token_hex(24)
    account = Account(port=free_port(), password=password)
    write_private(path, msgspec.json.encode(account))
    return account


def free_port() -> int:
    return next(port for port in random.sample(PORTS, len(PORTS)) if is_free(port))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def exclusive(lock: Path) -> Generator[None]:
    """One process at a time; the kernel lets go of the lock if its holder dies."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
