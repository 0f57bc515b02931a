"""What a shopper is served through HTTP is what the offline evaluation grades."""

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.cache import Redis
from backend.db import Pool
from backend.imports.work import run_import
from backend.recommend import pipeline
from backend.settings import Settings
from backend.tenancy import tenant_connection
from backend.training import activation, queries
from ml.dataset import Dataset
from ml.evaluate import answer_everybody
from ml.publish import Destination, publish
from ml.ranking import RankerConfig
from ml.ranking_set import Truth
from ml.release import read_manifest
from ml.retrieval import TowerConfig
from ml.serving.engine import load_release
from ml.shop import Shop as TrainedOn
from ml.shop import build_shop
from ml.train import Cuts, TrainConfig, train_shop
from tests.backend.imports.conftest import read, send
from tests.conftest import Shop
from tests.ml.toy_shop import DAY_S, toy_dataset

SHOPPERS = 60
SAME = 0.99
"""Share of the places of all lists that must hold the same product."""
RELEASE = "01JDSERVEDEQUALSOFFLINE000"
CONFIG = TrainConfig(
    most_shoppers=150,
    towers=TowerConfig(passes=2, batch_size=256, held_out=100),
    ranker=RankerConfig(epochs=2, negatives=20),
)


class Clock(NamedTuple):
    """Stands still: a second changes the order of products this shop cannot tell apart."""

    time: Callable[[], float]
    perf_counter: Callable[[], float]


def until_now(data: Dataset) -> Dataset:
    """The same shop with its last event a minute ago, and baskets: several products at once."""
    moments = data.events["occurred_at"].cast(pa.int64()).to_numpy() // 1_000_000
    baskets = moments // (6 * DAY_S) * (6 * DAY_S)
    moved = baskets + (int(time.time()) - 60 - baskets.max())
    column = pa.array(moved * 1_000_000).cast(data.events.schema.field("occurred_at").type)
    place = data.events.schema.get_field_index("occurred_at")
    events = data.events.set_column(place, "occurred_at", column)
    # ids that say nothing of the order of the file, as a shop's own do not
    ids = pa.array(np.random.default_rng(1).permutation(len(moved)).astype(str))
    return data._replace(events=events.set_column(0, "event_id", ids))


def as_file(table: pa.Table) -> bytes:
    """As a merchant would send it: without the columns the shop has nothing for."""
    filled = [name for name in table.column_names if table[name].null_count < len(table)]
    held = io.BytesIO()
    pq.write_table(table.select(filled), held)
    return held.getvalue()


async def test_http_serves_the_lists_that_the_evaluation_grades(
    shop: Shop, settings: Settings, pool: Pool, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = until_now(toy_dataset())
    trained_on = build_shop(data)
    for kind, table in zip(data._fields, data, strict=True):
        answer = await send(shop, kind, "parquet", as_file(table))
        import_id = answer.json()["import_id"]
        await run_import(pool, redis, settings.object_store, shop.tenant_id, import_id)
        run = await read(shop, import_id)
        assert (run.state, run.rows_rejected) == ("succeeded", 0)
    folder = train(trained_on, settings.object_store / "releases", str(shop.tenant_id))
    async with tenant_connection(pool, shop.tenant_id) as conn:
        await queries.insert_release(conn, read_manifest(folder))
        await queries.serve(conn, RELEASE)
    await activation.announce(redis, shop.tenant_id)

    now_s = trained_on.log.ts[-1] + 1
    monkeypatch.setattr(pipeline, "time", Clock(lambda: float(now_s), time.perf_counter))
    served = {
        (name, mode): await served_list(shop, name, mode)
        for name in trained_on.shopper_ids[:SHOPPERS]
        for mode in ("new", "repeat")
    }

    offline = offline_lists(folder, trained_on, int(now_s))
    same = [
        one == other
        for asked, items in served.items()
        for one, other in zip(items, offline[asked], strict=True)
    ]
    assert len(same) == 20 * 2 * SHOPPERS
    assert np.mean(same) >= SAME


def train(shop: TrainedOn, releases: Path, tenant_id: str) -> Path:
    place = Destination(tenant_id=tenant_id, release_id=RELEASE, releases=releases / tenant_id)
    cuts = Cuts.of_log(shop.log)
    publish(shop, train_shop(shop, cuts, CONFIG, lambda *_: None), place, lambda *_: None)
    gate = read_manifest(place.folder).metrics.gate
    assert gate.champion == "own-models", gate.verdict
    return place.folder


async def served_list(shop: Shop, customer_id: str, mode: str) -> list[str]:
    question = {"placement": "for-you", "customer_id": customer_id, "mode": mode, "limit": 20}
    answer = await shop.post("/v1/recommendations", question)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["served_by"], found["degraded"]) == ("own-models", False)
    return [item["product_id"] for item in found["items"]]


def offline_lists(folder: Path, shop: TrainedOn, now_s: int) -> dict[tuple[str, str], list[str]]:
    truth = Truth(np.arange(SHOPPERS, dtype=np.int32), [np.zeros(1, np.int32)] * SHOPPERS)
    answers = answer_everybody(load_release(folder), shop, truth, now_s, lambda *_: None)
    lists: dict[tuple[str, str], list[str]] = {}
    for row in answers.to_pylist():
        lists.setdefault((row["customer_id"], row["mode"]), []).append(row["product_id"])
    return lists
