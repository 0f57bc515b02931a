"""The main job with every process running: data in, models trained, recommendations out."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.local import demo_data
from infra.local.demo_account import remembered
from infra.local.pids import wait_until
from infra.local.services import LocalPostgres, LocalRedis
from infra.local.state import CHECKOUT, free_port

HOUSEHOLDS = 220
WEEKS = 16
PRODUCTS = 600
START_PATIENCE_S = 240.0
SECOND_START_S = 20.0
ANSWER_PATIENCE_S = 10.0
READY = "Aisle is running"


class Demo:
    """`python -m infra.local demo` on a small shop, in a state folder and on a port of its own."""

    def __init__(self, folder: Path, shop: Path) -> None:
        self.state_dir = folder / "state"
        self.base_url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = folder / "demo.log"
        servers = {"DATABASE_URL", "REDIS_URL"}
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in servers},
            "DATA": str(shop),
            "PORT": str(port),
            "AISLE_STATE_DIR": str(self.state_dir),
        }

    def start(self) -> None:
        """Returns when it says where everything is."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "infra.local", "demo"],
                cwd=CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: READY in self.said or self.process.poll() is not None, START_PATIENCE_S)
        assert READY in self.said, f"{self.said}\n{self.last_words()}"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    @property
    def said(self) -> str:
        return self.log.read_text()

    def last_words(self) -> str:
        logs = sorted((self.state_dir / "logs").glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in logs)

    def client(self) -> httpx.Client:
        key = remembered(self.state_dir, "small-shop").key
        return httpx.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            timeout=30,
        )


@pytest.fixture(scope="module")
def small_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The best-selling products of a few households in the last weeks of the grocer's year."""
    source = demo_data.package_data()
    sales = demo_data.read_sales(
        source / "transactions.parquet", lambda households: households <= HOUSEHOLDS
    )
    moments = sales["transaction_timestamp"].to_numpy()
    recent = sales.filter(pa.array(moments > moments.max() - np.timedelta64(7 * WEEKS, "D")))
    products, counts = np.unique(recent["product_id"].to_numpy(), return_counts=True)
    best = products[np.argsort(-counts, kind="stable")[:PRODUCTS]]
    sales = recent.filter(pa.array(np.isin(recent["product_id"].to_numpy(), best)))
    listed = pq.ParquetFile(source / "products.parquet").read()
    surveyed = pq.ParquetFile(source / "demographics.parquet").read()
    folder = tmp_path_factory.mktemp("shops") / "Small shop"
    folder.mkdir()
    pq.write_table(demo_data.products(listed, sales), folder / "products.parquet")
    pq.write_table(demo_data.customers(surveyed, sales), folder / "customers.parquet")
    pq.write_table(demo_data.events(sales), folder / "events.parquet")
    return folder


@pytest.fixture(scope="module")
def demo(small_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("main-job"), small_shop)
    try:
        running.start()
        yield running
        assert running.stop() == 0
    finally:
        if running.process.poll() is None:
            running.stop()
        LocalPostgres(running.state_dir).remove()
        LocalRedis(running.state_dir).remove()


def ask(client: httpx.Client, **question: str | int) -> dict:
    answer = client.post(
        "/v1/recommendations", json={"placement": "for-you", "limit": 12, **question}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def shown(answer: dict) -> list[str]:
    return [item["product_id"] for item in answer["items"]]


def test_every_row_of_the_shop_is_taken_in(demo: Demo) -> None:
    assert "rejected" not in demo.said
    for kind in ("products", "customers", "events"):
        assert f"{kind}: 100%" in demo.said


def test_a_release_serves_and_carries_the_verdict_of_the_gate(demo: Demo) -> None:
    with demo.client() as client:
        models = client.get("/v1/models").json()["models"]

    [model] = [model for model in models if model["serving"]]
    names = {score["name"] for score in model["metrics"]["scores"]}
    assert {"own-models", "popularity", "trending", "item-knn", "ease", "ials"} <= names
    assert model["passed"] == (model["champion"] == "own-models")
    assert model["verdict"]
    assert " ".join(model["verdict"].split()[:4]) in demo.said


def test_a_shopper_is_answered_by_a_rung_that_gives_its_name(demo: Demo, small_shop: Path) -> None:
    customers = pq.ParquetFile(small_shop / "customers.parquet").read()["customer_id"].to_pylist()
    products = pq.ParquetFile(small_shop / "products.parquet").read()["product_id"].to_pylist()

    with demo.client() as client:
        answer = ask(client, customer_id=str(customers[0]))

    assert answer["served_by"]
    assert answer["recommendation_id"]
    assert not answer["degraded"]
    assert len(set(shown(answer))) == 12
    assert set(shown(answer)) <= set(products)


def test_a_view_changes_the_next_answer(demo: Demo) -> None:
    with demo.client() as client:
        before = ask(client, session_id="visitor-1")
        view = {
            "event_id": "view-1",
            "type": "view",
            "session_id": "visitor-1",
            "product_id": shown(before)[-1],
            "occurred_at": datetime.now(UTC).isoformat(),
            "recommendation_id": before["recommendation_id"],
        }
        accepted = client.post(
            "/v1/events", json={"events": [view]}, headers={"Idempotency-Key": "view-1"}
        )

        assert accepted.is_success, accepted.text
        assert wait_until(
            lambda: shown(ask(client, session_id="visitor-1")) != shown(before), ANSWER_PATIENCE_S
        )


def test_a_second_start_finds_everything_as_it_was(demo: Demo) -> None:
    with demo.client() as client:
        before = [model["release_id"] for model in client.get("/v1/models").json()["models"]]
    assert demo.stop() == 0

    started_at = time.monotonic()
    demo.start()

    assert time.monotonic() - started_at < SECOND_START_S
    assert "Importing" not in demo.said
    assert "Training" not in demo.said
    with demo.client() as client:
        models = client.get("/v1/models").json()["models"]
    assert [model["release_id"] for model in models] == before
