"""Starts all of Aisle on this machine, and stops all of it again."""

import contextlib
import fcntl
import http.client
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from infra.local import preflight, triton
from infra.local.preflight import CannotStart
from infra.local.processes import Process, Supervisor, end_leftovers, supervised
from infra.local.server import last_lines
from infra.local.services import Services, start_services
from infra.local.signals import interruptible
from infra.local.state import CHECKOUT, private_folder, state_folder, write_private

APP_LOGIN = "aisle_app_login"
DRAIN_LOGIN = "aisle_drain_login"
READY_PATIENCE_S = 60.0
ASK_EVERY_S = 0.1


class Logins(Struct, frozen=True, kw_only=True):
    """Passwords of the two database logins the product runs as; chosen once and remembered."""

    app: str
    drain: str


Preparation = Callable[[dict[str, str], Path], dict[str, str]]


class Site(Struct, frozen=True, kw_only=True):
    """Aisle, running. `environment` is what its processes see, without the owner's database URL."""

    base_url: str
    state_dir: Path
    environment: dict[str, str]
    supervisor: Supervisor


def run() -> int:
    """Start, say where everything is, and stay until Ctrl-C."""
    console = Console()
    started_at = time.monotonic()
    with running() as site:
        console.print(summary(site, time.monotonic() - started_at))
        site.supervisor.wait()
    return 0


@contextlib.contextmanager
def running(prepare: Preparation = lambda _environment, _state_dir: {}) -> Generator[Site]:
    """All of Aisle, ready for requests. Ctrl-C and SIGTERM arrive as KeyboardInterrupt.

    `prepare` runs when the database is up to date and no process has started; what it returns is
    added to the environment of the processes. Raises CannotStart. Nothing is left running
    afterwards.
    """
    preflight.check_python(sys.version_info[:3])
    port = preflight.wanted_port()
    state_dir = private_folder(state_folder())
    preflight.check_disk(state_dir)
    with contextlib.ExitStack() as stack:
        stack.enter_context(only_one(state_dir / "up.lock"))
        end_leftovers(state_dir)
        preflight.check_port(port)
        stack.enter_context(interruptible())
        services = start_services(state_dir)
        stack.callback(services.stop)
        engine = engine_settings(stack, state_dir)
        environment = product_environment(services, state_dir, engine)
        migrate(environment, services.database_url, state_dir)
        environment |= prepare(environment, state_dir)
        processes = product_processes(environment, port, state_dir)
        supervisor = stack.enter_context(supervised(processes, state_dir))
        wait_until_ready(port, supervisor, state_dir)
        yield Site(
            base_url=f"http://127.0.0.1:{port}",
            state_dir=state_dir,
            environment=environment,
            supervisor=supervisor,
        )


@contextlib.contextmanager
def only_one(lock: Path) -> Generator[None]:
    """Two sets of workers over one state folder would undo each other's work."""
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock.read_text().strip()
            raise CannotStart(
                f"Aisle is already running from this folder (process {holder}).\n"
                "Stop that one with Ctrl-C, or set AISLE_STATE_DIR to another folder."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Small products of matrices in many processes: more threads wait for each other."""


def engine_settings(stack: contextlib.ExitStack, state_dir: Path) -> dict[str, str]:
    """Starts Triton where it is asked for, until the stack is left. Raises ServiceUnavailable."""
    if not triton.is_wanted():
        return {}
    server = triton.local_triton(state_dir)
    stack.callback(server.stop)
    server.start()
    return {"AISLE_INFERENCE": "triton", "AISLE_TRITON_URL": server.url}


def product_environment(
    services: Services, state_dir: Path, engine: Mapping[str, str]
) -> dict[str, str]:
    """What the product and the `aisle` command need; also written to the state folder."""
    logins = remembered_logins(state_dir / "logins.json")
    settings = {
        "APP_DATABASE_URL": login_url(services.database_url, APP_LOGIN, logins.app),
        "DRAIN_DATABASE_URL": login_url(services.database_url, DRAIN_LOGIN, logins.drain),
        "REDIS_URL": services.redis_url,
        "AISLE_STATE_DIR": str(state_dir),
        **engine,
    }
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    write_private(state_dir / "environment", lines.encode())
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return {**inherited, **ONE_THREAD, "PYTHONUNBUFFERED": "1", **settings}


def remembered_logins(path: Path) -> Logins:
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Logins)
    logins = Logins(app=secrets.token_hex(24), drain=secrets.token_hex(24))
    write_private(path, msgspec.json.encode(logins))
    return logins


def login_url(owner_url: str, login: str, password: str) -> str:
    """The same database, as somebody else."""
    parts = urlsplit(owner_url)
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{login}:{password}@{address}").geturl()


def migrate(environment: dict[str, str], owner_url: str, state_dir: Path) -> None:
    """Create the two logins and bring the schema up to date. Safe to repeat."""
    log = private_folder(state_dir / "logs") / "migrate.log"
    with log.open("wb") as output:
        finished = subprocess.run(
            [sys.executable, "-m", "backend.cli", "migrate"],
            cwd=CHECKOUT,
            env={**environment, "DATABASE_URL": owner_url},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if finished.returncode != 0:
        raise CannotStart(f"The database could not be brought up to date:\n{last_lines(log)}")


def product_processes(environment: dict[str, str], port: int, state_dir: Path) -> list[Process]:
    schedule = shlex.quote(str(state_dir / "beat-schedule"))
    commands = {
        "api": "uvicorn --factory backend.app:create_app --no-access-log"
        f" --host 127.0.0.1 --port {port}",
        "drain": "backend.events.drain",
        "worker": "celery -A backend.worker worker -n worker@%h -Q default -c 2"
        " --prefetch-multiplier 1",
        "trainer": "celery -A ml.worker worker -n trainer@%h -Q train -c 1"
        " --prefetch-multiplier 1 --max-tasks-per-child 1",
        "beat": f"celery -A backend.worker beat --schedule {schedule}",
    }
    if triton.is_wanted():
        commands["triton"] = "infra.local triton"
    return [
        Process(
            name=name,
            arguments=[sys.executable, "-m", *shlex.split(command)],
            environment=environment,
        )
        for name, command in commands.items()
    ]


def wait_until_ready(port: int, supervisor: Supervisor, state_dir: Path) -> None:
    deadline = time.monotonic() + READY_PATIENCE_S
    while not is_ready(port):
        supervisor.check()
        if time.monotonic() > deadline:
            log = state_dir / "logs" / "api.log"
            raise CannotStart(
                f"The API did not become ready within {READY_PATIENCE_S:.0f} s. "
                f"Its last words, from {log}:\n{last_lines(log)}"
            )
        time.sleep(ASK_EVERY_S)


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def engine_in_words(site: Site) -> str:
    if site.environment.get("AISLE_INFERENCE") == "triton":
        return f"Triton at {site.environment['AISLE_TRITON_URL']}"
    return "inside the API"


def summary(site: Site, took_s: float) -> Panel:
    table = Table.grid(padding=(0, 3))
    rows = {
        "API": f"{site.base_url}/v1",
        "Reference": f"{site.base_url}/schema",
        "Engine": engine_in_words(site),
        "Logs": f"{site.state_dir / 'logs'}",
        "Command": ".venv/bin/aisle --help, in another terminal",
        "Stop": "Ctrl-C",
    }
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/bold]", value)
    title = f"[bold green]Aisle is running[/bold green], ready after {took_s:.1f} s"
    return Panel(table, title=title, title_align="left", expand=False, padding=(1, 2))
