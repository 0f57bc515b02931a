"""A private Redis (or Valkey) that listens on loopback only and keeps what it accepted."""

import shutil
import signal
from pathlib import Path

import redis

from infra.local.binaries import require_redis
from infra.local.server import Command, LocalServer
from infra.local.state import account_with_free_port, private_folder, read_account, write_private

SETTINGS = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{home}"
pidfile "{home}/redis.pid"
daemonize no
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
save ""
"""


class LocalRedis(LocalServer):
    name = "redis"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        account = self.account
        return f"redis://:{account.password}@127.0.0.1:{account.port}/0"

    @property
    def home(self) -> Path:
        return self.folder / "redis"

    @property
    def pid(self) -> int | None:
        try:
            text = (self.home / "redis.pid").read_text().strip()
        except FileNotFoundError:
            return None
        return int(text) if text.isdigit() else None

    def is_ready(self) -> bool:
        account = read_account(self.account_file)
        if account is None or self.process() is None:
            return False
        try:
            with redis.Redis(port=account.port, password=account.password) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def prepare(self) -> Command:
        program = require_redis()
        private_folder(self.home)
        account = account_with_free_port(self.account_file)
        settings = SETTINGS.format(port=account.port, password=account.password, home=self.home)
        write_private(self.folder / "redis.conf", settings.encode())
        return Command(arguments=[str(program), str(self.folder / "redis.conf")])

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        self.account_file.unlink(missing_ok=True)
