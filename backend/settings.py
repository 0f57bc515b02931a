"""Every environment variable the product reads, as one frozen Struct."""

import os
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct


class MissingSetting(Exception):
    """A required environment variable is absent or malformed; the message names it."""


class Settings(Struct, frozen=True, kw_only=True):
    """Read once per process by `read_settings` and passed on."""

    app_database_url: str
    drain_database_url: str
    redis_url: str
    database_url: str | None = None
    """Owner of the schema; only `aisle migrate` uses it."""
    aisle_state_dir: Path = Path(".local")
    aisle_object_store: Path | None = None
    aisle_spool_limit_mb: int = 256
    aisle_pool_size: int = 8
    aisle_import_limit_mb: int = 2048
    aisle_rate_recommend: int = 200
    """Requests per second and key; twice as many may come at once."""
    aisle_rate_events: int = 2000
    aisle_rate_other: int = 100
    aisle_inference: Literal["embedded", "triton"] = "embedded"
    """Whether the engine answers inside the web process or on a Triton server."""
    aisle_triton_url: str = "127.0.0.1:8001"
    """host:port of its gRPC."""
    aisle_triton_deadline_ms: int = 150
    """After which a lower rung answers."""
    aisle_demo_key: str | None = None
    """Secret key the /shop page uses; the page is absent without it."""

    @property
    def object_store(self) -> Path:
        return self.aisle_object_store or self.aisle_state_dir / "objects"

    @property
    def spool(self) -> Path:
        return self.aisle_state_dir / "spool"


def read_settings() -> Settings:
    """Environment first; what it lacks comes from `.local/environment` of a local start."""
    state_dir = Path(os.environ.get("AISLE_STATE_DIR", ".local"))
    values = {**_read_file(state_dir / "environment"), **os.environ}
    known = {name.upper(): name for name in Settings.__struct_fields__}
    found = {known[key]: value for key, value in values.items() if key in known and value}
    try:
        return msgspec.convert(found, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise MissingSetting(
            f"{error} (environment variables are the names in capitals)"
        ) from error


def _path(kind: type, value: str) -> Path:
    """msgspec knows no Path; it is the only other type among the settings."""
    if kind is not Path:
        raise NotImplementedError(kind)
    return Path(value)


def _read_file(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
