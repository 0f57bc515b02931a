"""The demo as a merchant's program: everything through the public REST API."""

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
from msgspec import Struct
from ulid import ULID

from backend.training.schemas import Model, ModelList, TrainingJob, TrainingJobList
from infra.local.demo_shop import ShopFile
from infra.local.preflight import CannotStart

FINAL = ("succeeded", "failed")
ASK_EVERY_S = 0.25
CHUNK_BYTES = 1 << 20
PATIENCE_S = 60.0

Answer = TypeVar("Answer")


class ImportRun(Struct, frozen=True, kw_only=True):
    """The part of an import's state that a demo shows."""

    import_id: str
    state: str
    progress: float = 0.0
    rows_read: int = 0
    rows_accepted: int = 0
    rows_rejected: int = 0
    reason: str | None = None


class Problem(Struct, frozen=True, kw_only=True):
    """RFC 9457, as far as it is shown."""

    title: str = ""
    detail: str = ""
    code: str = ""


def open_client(base_url: str, key: str) -> httpx.Client:
    return httpx.Client(
        base_url=base_url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=httpx.Timeout(PATIENCE_S),
        trust_env=False,
    )


def start_import(client: httpx.Client, file: ShopFile) -> ImportRun:
    answer = client.post(
        "/v1/imports",
        params={"kind": file.kind, "mode": "incremental", "format": file.format},
        headers={
            "Content-Type": "application/octet-stream",
            "Idempotency-Key": str(ULID()),
        },
        content=chunks(file.path),
    )
    return decoded(answer, ImportRun)


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def follow_import(client: httpx.Client, import_id: str) -> Generator[ImportRun]:
    """Its state again and again, the last one being final."""
    while True:
        run = decoded(client.get(f"/v1/imports/{import_id}"), ImportRun)
        yield run
        if run.state in FINAL:
            return
        time.sleep(ASK_EVERY_S)


def start_training(client: httpx.Client) -> TrainingJob:
    """Begin one, or join the one that a former start or the schedule began."""
    begun = decoded(client.get("/v1/models/jobs"), TrainingJobList).jobs
    unfinished = [job for job in begun if job.state not in FINAL]
    if unfinished:
        return unfinished[0]
    answer = client.post("/v1/models/train", headers={"Idempotency-Key": str(ULID())})
    return decoded(answer, TrainingJob)


def follow_training(client: httpx.Client, job_id: str) -> Generator[TrainingJob]:
    """Its state again and again, the last one being final."""
    while True:
        job = decoded(client.get(f"/v1/models/jobs/{job_id}"), TrainingJob)
        yield job
        if job.state in FINAL:
            return
        time.sleep(ASK_EVERY_S)


def models(client: httpx.Client) -> list[Model]:
    return decoded(client.get("/v1/models"), ModelList).models


def decoded(answer: httpx.Response, of: type[Answer]) -> Answer:
    """Raises CannotStart with the API's own words when it refuses."""
    if answer.is_success:
        return msgspec.json.decode(answer.content, type=of)
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem(detail=answer.text[:300])
    request = answer.request
    raise CannotStart(
        f"{request.method} {request.url.path} answered {answer.status_code}: "
        f"{problem.detail or problem.title}"
    )
