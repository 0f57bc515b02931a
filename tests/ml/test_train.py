"""Training end to end on a made-up shop with structure: release out, verdict in it."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import structs

from ml import windows
from ml.publish import Destination, publish, train_release
from ml.ranking import RankerConfig
from ml.release import MANIFEST, read_manifest, verify_release
from ml.retrieval import TowerConfig
from ml.serving.engine import load_release, recommend
from ml.serving.request import EngineRequest, Interaction
from ml.shop import Shop
from ml.train import TrainConfig, Trained, train_shop
from ml.windows import Cuts
from tests.ml.toy_shop import PRODUCTS_EACH, toy_shop

CONFIG = TrainConfig(
    towers=TowerConfig(passes=4, batch_size=256, held_out=200),
    ranker=RankerConfig(epochs=4, negatives=40),
)


def quiet(stage: str, fraction: float, figures: dict[str, float]) -> None:
    pass


@pytest.fixture(scope="module")
def shop() -> Shop:
    return toy_shop()


@pytest.fixture(scope="module")
def trained(shop: Shop) -> Trained:
    return train_shop(shop, Cuts.of_log(shop.log), CONFIG, quiet)


@pytest.fixture(scope="module")
def folder(shop: Shop, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = Destination(
        tenant_id="toy", release_id="r1", releases=tmp_path_factory.mktemp("releases")
    )
    publish(shop, trained, place, quiet)
    return place.folder


def test_models_that_found_the_structure_pass_the_gate(trained: Trained) -> None:
    gate = trained.metrics.gate

    assert gate.passed, gate.verdict
    assert gate.champion == "own-models"
    assert gate.scores[0].name == "own-models"
    assert {row.name for row in gate.scores} >= {
        "popularity",
        "trending",
        "item-knn",
        "ease",
        "ials",
    }


def test_scores_are_calibrated(trained: Trained) -> None:
    assert trained.metrics.ranker["ece"] <= 0.02


def test_the_published_release_serves_the_shoppers_taste(folder: Path, shop: Shop) -> None:
    release = load_release(folder)
    taste = shop.product_ids[2 * PRODUCTS_EACH : 3 * PRODUCTS_EACH]
    now_s = float(shop.log.ts[-1])
    viewed = [
        Interaction(product_id=product_id, kind="view", occurred_at_s=now_s - place)
        for place, product_id in enumerate(taste[:3])
    ]
    answer = recommend(release, EngineRequest(now_s=now_s, limit=10, recent=viewed))

    assert answer.served_by == "own-models"
    assert len({item.product_id for item in answer.items} & set(taste)) >= 8


def test_equal_seed_and_data_give_equal_metrics(shop: Shop, trained: Trained) -> None:
    again = train_shop(shop, Cuts.of_log(shop.log), CONFIG, quiet)

    assert again.metrics.gate == trained.metrics.gate
    assert again.metrics.ranker == trained.metrics.ranker
    assert again.metrics.curves == trained.metrics.curves
    assert again.metrics.ranker_choice == trained.metrics.ranker_choice


def test_the_metrics_tell_what_was_chosen_for_the_shop(trained: Trained) -> None:
    chosen = (trained.metrics.signals, trained.metrics.ranker_choice)

    assert [choice.chosen for choice in chosen if choice] == ["usual", "usual"]
    assert [row.name for row in trained.metrics.ranker_choice.tried][:2] == ["usual", "narrower"]


def test_a_model_trained_on_shuffled_labels_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = windows.describe_window

    def shuffled(*args: object, **kwargs: object) -> windows.JudgingWindow:
        found = described(*args, **kwargs)
        if args[2] == Cuts.of_log(shop.log).validate_from_s:
            return found
        rng = np.random.default_rng(1)
        parts = (part._replace(label=rng.permutation(part.label)) for part in found.window[:2])
        return found._replace(window=windows.Window(*parts))

    monkeypatch.setattr(windows, "describe_window", shuffled)
    config = structs.replace(CONFIG, search_rows=0)
    gate = train_shop(shop, Cuts.of_log(shop.log), config, quiet).metrics.gate

    assert not gate.passed
    assert gate.champion != "own-models"
    assert "refused" in gate.verdict


def test_too_little_data_trains_no_network_and_says_why(shop: Shop, tmp_path: Path) -> None:
    few = shop._replace(log=shop.log.rows(slice(0, 400)))
    trained = train_shop(few, Cuts.of_log(few.log), CONFIG, quiet)
    place = Destination(tenant_id="toy", release_id="r2", releases=tmp_path)
    publish(few, trained, place, quiet)
    release = load_release(place.folder)

    assert trained.ranker is None
    assert trained.metrics.gate.verdict.startswith("Only 400 events")
    answer = recommend(release, EngineRequest(now_s=float(few.log.ts[-1]), limit=5))
    assert len(answer.items) == 5
    assert answer.served_by == "blend"


def test_a_shop_whose_few_shoppers_chose_nothing_new_gets_a_release(shop: Shop) -> None:
    """They come back in every window, and buy what they had."""
    few = shop.log.rows(shop.log.shopper < 3)
    loyal = shop._replace(log=few._replace(item=few.shopper))

    trained = train_shop(loyal, Cuts.of_log(loyal.log), CONFIG, quiet)

    assert trained.ranker is None
    assert trained.metrics.gate.verdict.startswith("Only ")


def test_nothing_was_learned_from_the_moment_of_the_cut_on(trained: Trained, shop: Shop) -> None:
    tables = trained.retriever.tables

    assert (tables.first_seen_s <= tables.cut_s).all()
    assert tables.cut_s == int(shop.log.ts[-1]) + 1


def test_training_twice_gives_one_release(folder: Path, tmp_path: Path) -> None:
    place = Destination(tenant_id="toy", release_id=folder.name, releases=folder.parent)
    before = (folder / MANIFEST).stat().st_mtime_ns
    outcome = train_release(tmp_path / "no such data", place, quiet)

    assert outcome["release_id"] == "r1"
    assert (folder / MANIFEST).stat().st_mtime_ns == before


def test_a_dataset_that_cannot_be_read_is_reported_in_words(tmp_path: Path) -> None:
    place = Destination(tenant_id="toy", release_id="r3", releases=tmp_path)
    outcome = train_release(tmp_path, place, quiet)

    assert "holds none of products.parquet" in outcome["failed"]


def test_the_manifest_tells_what_was_learned_from(folder: Path, shop: Shop) -> None:
    manifest = verify_release(folder)

    assert manifest.snapshot.events == len(shop.log.ts)
    assert manifest.snapshot.products == len(shop.product_ids)
    assert msgspec.json.encode(read_manifest(folder)) == msgspec.json.encode(manifest)
