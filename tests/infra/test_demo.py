"""What the demo decides and says; tests/end_to_end runs the main job itself."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from backend.training.schemas import Headline, Model
from infra.local import demo, demo_api
from infra.local.demo_account import DemoAccount, account_path, remember, remembered
from infra.local.demo_screen import progress
from infra.local.demo_shop import Shop, chosen_shop, shop_files, slug_of, some_shopper
from infra.local.preflight import CannotStart
from ml.release import Score

EVENT = {"event_id": "1", "type": "purchase", "customer_id": "ann", "product_id": "tea"}


@pytest.mark.parametrize(
    ("folder", "slug"),
    [
        ("My Shop (2024)", "my-shop-2024"),
        ("___", "shop"),
        ("x" * 80, "x" * 63),
        ("Café", "caf"),
    ],
)
def test_a_tenant_is_named_after_its_folder(folder: str, slug: str) -> None:
    assert slug_of(folder) == slug


def test_a_folder_of_your_own_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Tea House"
    folder.mkdir()
    (folder / "events.jsonl").write_bytes(msgspec.json.encode(EVENT))
    (folder / "products.csv").write_text("product_id,title\ntea,Tea\n")
    monkeypatch.setenv("DATA", str(folder))

    shop = chosen_shop(tmp_path)

    assert shop.slug == "tea-house"
    assert [(file.kind, file.format) for file in shop.files] == [
        ("products", "csv"),
        ("events", "jsonl"),
    ]


def test_a_folder_without_events_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"holds no events\.parquet"):
        shop_files(tmp_path)


def test_a_folder_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="not a folder"):
        shop_files(tmp_path / "missing")


def test_a_changed_file_is_another_file(tmp_path: Path) -> None:
    events = tmp_path / "events.csv"
    events.write_text("event_id\n1\n")
    before = shop_files(tmp_path)[0].fingerprint
    events.write_text("event_id\n1\n2\n")

    assert shop_files(tmp_path)[0].fingerprint != before


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_a_shopper_to_try_is_found_in_every_format(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"events.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"customer_id": [None, "ann"]}), path)
    elif form == "csv":
        path.write_text("event_id,customer_id\n1,\n2,ann\n")
    else:
        path.write_bytes(b'{"session_id": "s"}\n{"customer_id": "ann"}\n')

    assert some_shopper(Shop(slug="x", name="x", files=shop_files(tmp_path))) == "ann"


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    account = DemoAccount(slug="demo", key="ak_live_sec_x").having_imported("file:1")
    remember(tmp_path, account)

    assert remembered(tmp_path, "demo") == account
    assert account_path(tmp_path, "demo").stat().st_mode & 0o777 == 0o600


def test_without_a_terminal_progress_is_plain_lines() -> None:
    output = io.StringIO()
    with progress(Console(file=output)) as show:
        show("events", 0.0, "sending")
        show("events", 0.5, "10 rows")
        show("events", 1.0, "20 rows")
        show("features", 1.0, "")

    assert output.getvalue().splitlines() == [
        "  events: 0% sending",
        "  events: 100% 20 rows",
        "  features: 100%",
    ]


def test_a_refusal_of_the_api_is_passed_on_in_its_words() -> None:
    client = answering(httpx.Response(401, json={"code": "unauthorized", "detail": "no such key"}))

    with pytest.raises(CannotStart, match="answered 401: no such key"):
        demo_api.models(client)


def test_a_training_that_runs_already_is_joined() -> None:
    running = {
        "job_id": "j1", "state": "training", "requested_by": "schedule", "objective": "auto",
        "stage": "ranker",
        "progress": 0.5, "detail": {"loss": 0.4}, "reason": None, "release_id": None,
        "created_at": "2026-01-01T00:00:00Z", "started_at": None, "heartbeat_at": None,
        "finished_at": None,
    }  # fmt: skip
    client = answering(httpx.Response(200, json={"jobs": [running]}))

    assert demo_api.start_training(client).job_id == "j1"


def answering(*answers: httpx.Response) -> httpx.Client:
    waiting: Iterator[httpx.Response] = iter(answers)
    transport = httpx.MockTransport(lambda _request: next(waiting))
    return httpx.Client(base_url="http://aisle.test", transport=transport)


def test_the_comparison_names_who_serves_and_how_sure_it_is() -> None:
    model = Model(
        release_id="r1",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        champion="own-models",
        passed=True,
        verdict="Own models serve.",
        serving=True,
        parent_release_id=None,
        objective="auto",
        metrics=Headline(
            shoppers=700,
            baseline="ease",
            lift=0.31,
            lift_low=0.2,
            lift_high=0.4,
            scores=[
                Score(
                    name="ease",
                    ndcg=0.10,
                    recall=0.1,
                    coverage=0.3,
                    lift=0.31,
                    lift_low=0.2,
                    lift_high=0.4,
                ),
                Score(name="popularity", ndcg=0.05, recall=0.1, coverage=0.3),
                Score(name="own-models", ndcg=0.131, recall=0.12, coverage=0.4),
            ],
        ),
    )
    output = io.StringIO()

    Console(file=output, width=80).print(demo.comparison(model))

    said = output.getvalue()
    assert "own models (serves)" in said
    assert "+31% (+20% to +40%)" in said
    assert said.index("own models (serves)") < said.index("0.1000")
