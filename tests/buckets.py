"""A real S3 server on loopback, and a bucket of its own for each test."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import httpx
import pytest
from msgspec import Struct

from infra.local.state import free_port

START_WITHIN_S = 60


class Bucket(Struct, frozen=True, kw_only=True):
    name: str
    endpoint: str

    @property
    def location(self) -> str:
        return f"s3://{self.name}"

    def listing(self) -> list[str]:
        listed = boto3.client("s3").list_objects_v2(Bucket=self.name)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def put(self, key: str, content: bytes) -> None:
        boto3.client("s3").put_object(Bucket=self.name, Key=key, Body=content)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("moto") / "moto.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_WITHIN_S
    while time.monotonic() < until and server.poll() is None:
        try:
            httpx.get(f"{url}/moto-api/", timeout=5)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(log.read_text())


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The usual AWS variables name the server while the test runs."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"aisle-{uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return Bucket(name=name, endpoint=s3_endpoint)
