"""A private PostgreSQL that listens on loopback only."""

import hashlib
import shutil
import signal
import subprocess
from pathlib import Path

from infra.local.binaries import (
    ServiceUnavailable,
    is_root,
    postgres_user,
    require_postgres,
    root_home,
)
from infra.local.server import Command, LocalServer, group_of
from infra.local.state import account_with_free_port, read_account

OWNER = "aisle_owner"
DATABASE = "aisle"
# postmaster.pid, line by line: the first is the PID, the eighth the state.
STATE_LINE = 7


class LocalPostgres(LocalServer):
    """`url` belongs to a superuser and names the database `aisle`, which is there from the start.

    The data lies in `folder`. Started by root, PostgreSQL has to run as another user, who may be
    unable to reach `folder`: then the data lies below /var/lib/aisle, in a folder named for it.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": open connections are not waited for

    @property
    def url(self) -> str:
        account = self.account
        return f"postgresql://{OWNER}:{account.password}@127.0.0.1:{account.port}/{DATABASE}"

    @property
    def home(self) -> Path:
        return self._base / "data"

    @property
    def _base(self) -> Path:
        if not is_root():
            return self.folder / "postgres"
        return root_home() / hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]

    @property
    def pid(self) -> int | None:
        lines = self._postmaster_lines()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    def is_ready(self) -> bool:
        lines = self._postmaster_lines()
        is_serving = len(lines) > STATE_LINE and lines[STATE_LINE].strip() == "ready"
        return is_serving and self.process() is not None

    def prepare(self) -> Command:
        programs = require_postgres()
        is_ours = read_account(self.account_file) is not None
        account = account_with_free_port(self.account_file)
        if not is_ours or not self.home.exists():
            self._initialise(programs, account.password)
        # Whoever holds this number now is not our server: that was looked at before.
        (self.home / "postmaster.pid").unlink(missing_ok=True)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(account.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return Command(
            arguments=[str(programs / "postgres"), "-D", str(self.home), *options],
            user=postgres_user(),
        )

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self._base, ignore_errors=True)
        self.account_file.unlink(missing_ok=True)

    def _initialise(self, programs: Path, password: str) -> None:
        """Data without an account was left by a state folder that somebody deleted since."""
        user = postgres_user()
        shutil.rmtree(self._base, ignore_errors=True)
        self._base.mkdir(parents=True)
        self._base.chmod(0o700)
        password_file = self._base / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(password)
        for path in (self._base, password_file):
            if user:
                shutil.chown(path, user, group_of(user))
        draft = self._base / "draft"
        initdb = [f"--username={OWNER}", f"--pwfile={password_file}", "--auth=scram-sha-256"]
        initdb += ["--encoding=UTF8", "--locale=C.UTF-8", f"--pgdata={draft}"]
        self._run([str(programs / "initdb"), *initdb], user, "")
        create = f'CREATE DATABASE "{DATABASE}";\n'
        self._run(
            [str(programs / "postgres"), "--single", "-D", str(draft), "postgres"], user, create
        )
        password_file.unlink()
        draft.rename(self.home)

    def _run(self, arguments: list[str], user: str | None, script: str) -> None:
        finished = subprocess.run(
            arguments,
            user=user,
            group=user and group_of(user),
            extra_groups=[] if user else None,
            cwd=self._base,
            env={"LC_ALL": "C.UTF-8"},
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            raise ServiceUnavailable(f"PostgreSQL could not set up its data:\n{finished.stderr}")

    def _postmaster_lines(self) -> list[str]:
        try:
            return (self.home / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
