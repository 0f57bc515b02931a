"""The two towers: honest samples, a corrected loss, vectors that know a shopper's taste."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from ml.content.text import fit_text, product_texts
from ml.features import ItemFeatures, encode_catalogue
from ml.interactions import KIND_INDEX, InteractionLog
from ml.retrieval import TowerConfig, TrainedTowers, train_two_tower
from ml.serving.traits import MOST_TRAITS
from ml.shop import Shop
from ml.tower_samples import DAY_S, INPUTS, TowerSamples
from ml.towers import logq_loss
from tests.ml.toy_shop import PRODUCTS_EACH, toy_shop

CONFIG = TowerConfig(batch_size=256, held_out=300)


def quiet(fraction: float, figures: dict[str, float] | None = None) -> None:
    pass


@pytest.fixture(scope="module")
def shop() -> Shop:
    return toy_shop()


@pytest.fixture(scope="module")
def features(shop: Shop) -> ItemFeatures:
    return encode_catalogue(shop.products, content=fit_text(product_texts(shop.products)).vectors)


@pytest.fixture(scope="module")
def trained(shop: Shop, features: ItemFeatures) -> TrainedTowers:
    return train_two_tower(shop.log, features, len(shop.markets), shop.traits, CONFIG, quiet)


def log_of(*rows: tuple[int, int, str, int]) -> InteractionLog:
    """(shopper, item, kind, ts)."""
    shopper, item, kind, ts = zip(*rows, strict=True)
    n = len(rows)
    return InteractionLog(
        shopper=np.array(shopper, np.int32),
        item=np.array(item, np.int32),
        kind=np.array([KIND_INDEX[k] for k in kind], np.int8),
        ts=np.array(ts, np.int64),
        market=np.zeros(n, np.int16),
        device=np.zeros(n, np.int8),
        weight=np.ones(n, np.float32),
    )


def samples_of(*rows: tuple[int, int, str, int]) -> TowerSamples:
    log = log_of(*rows)
    return TowerSamples(log, np.zeros((int(log.shopper.max()) + 1, MOST_TRAITS), np.int32))


def test_history_is_strictly_earlier_and_a_basket_is_not_its_own_history() -> None:
    samples = samples_of(
        (0, 5, "view", 0),
        (1, 9, "purchase", 10),
        (0, 6, "purchase", DAY_S),
        (0, 7, "purchase", DAY_S),
        (0, 8, "purchase", 3 * DAY_S),
    )
    batch = samples.batch(samples.targets)
    seen = {
        int(target): [int(item) - 1 for item in row if item]
        for target, row in zip(batch.target, batch.recent_items, strict=True)
    }

    assert seen[5] == []
    assert seen[6] == seen[7] == [5]
    assert sorted(seen[8][:2]) == [6, 7]
    assert seen[8][2:] == [5]
    assert seen[9] == []


def test_ages_are_days_before_the_choice() -> None:
    samples = samples_of((0, 1, "view", 0), (0, 2, "purchase", 2 * DAY_S))
    batch = samples.batch(samples.targets)

    assert batch.recent_ages[1, 0] == pytest.approx(2.0)


def test_the_loss_is_corrected_for_popularity_after_the_temperature() -> None:
    query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    item = torch.tensor([[0.8, 0.6], [0.6, 0.8]])
    share = torch.log(torch.tensor([0.7, 0.3]))
    target = torch.tensor([0, 1])

    loss = logq_loss(query, item, target, share, temperature=0.5)

    logits = query @ item.T / 0.5 - share
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1]))
    assert float(loss) == pytest.approx(float(expected))


def test_another_sample_of_the_same_product_is_no_negative() -> None:
    query = torch.eye(3)[:, :2]
    item = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    loss = logq_loss(query, item, torch.tensor([4, 4, 2]), torch.zeros(5), temperature=1.0)

    expected = torch.log1p(torch.exp(torch.tensor([-1.0, 0.0, 0.0])))
    expected[2] = torch.log(torch.tensor(3.0))
    expected[1] = torch.log1p(torch.exp(torch.tensor(1.0)))
    assert float(loss) == pytest.approx(float(expected.mean()), rel=1e-5)


def test_towers_find_the_taste_that_popularity_cannot(trained: TrainedTowers) -> None:
    assert trained.metrics["recall@100"] > 0.95
    vectors = trained.item_vectors
    same = vectors[:PRODUCTS_EACH] @ vectors[:PRODUCTS_EACH].T
    other = vectors[:PRODUCTS_EACH] @ vectors[PRODUCTS_EACH:].T

    assert same.mean() > other.mean() + 0.3


def test_equal_seed_and_data_give_equal_vectors(
    shop: Shop, features: ItemFeatures, trained: TrainedTowers
) -> None:
    again = train_two_tower(shop.log, features, len(shop.markets), shop.traits, CONFIG, quiet)

    assert (again.item_vectors == trained.item_vectors).all()


def test_a_product_without_history_lives_from_its_content(
    trained: TrainedTowers,
) -> None:
    positions = torch.arange(PRODUCTS_EACH)
    with torch.no_grad():
        unknown = trained.towers.items(positions, torch.ones(PRODUCTS_EACH, dtype=torch.bool))
    nearest = (unknown.numpy() @ trained.item_vectors.T).argmax(axis=1)

    assert (nearest < PRODUCTS_EACH).mean() > 0.8


def test_the_id_of_a_product_that_nothing_happened_to_does_not_count(
    shop: Shop, features: ItemFeatures
) -> None:
    untried = 3
    log = shop.log.rows(shop.log.item != untried)
    trained = train_two_tower(log, features, len(shop.markets), shop.traits, CONFIG, quiet)
    with torch.no_grad():
        hidden, shown = (
            trained.towers.items(torch.tensor([untried, untried + 1]), torch.tensor([value] * 2))
            for value in (True, False)
        )

    assert trained.item_vectors[untried] == pytest.approx(hidden[0].numpy(), abs=1e-6)
    assert trained.item_vectors[untried + 1] == pytest.approx(shown[1].numpy(), abs=1e-6)
    assert trained.item_vectors[untried] != pytest.approx(shown[0].numpy(), abs=1e-3)


def test_the_exported_query_tower_answers_as_the_trained_one(
    trained: TrainedTowers, shop: Shop, tmp_path: Path
) -> None:
    trained.export(tmp_path)
    session = onnxruntime.InferenceSession(str(tmp_path / "query_tower.onnx"))
    samples = TowerSamples(shop.log, shop.traits.of_shopper)
    for rows in (1, 7):
        batch = samples.batch(samples.targets[:rows])
        inputs = dict(zip(batch._fields[:INPUTS], batch[:INPUTS], strict=True))
        assert session.run(None, inputs)[0] == pytest.approx(
            trained.query_vectors(inputs), abs=1e-5
        )
