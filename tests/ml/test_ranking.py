"""The ranker: its loss by hand, what it learns from a shop with known tastes, and its file."""

from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from ml import metrics
from ml.calibration import probabilities
from ml.ranking import (
    NotEnoughData,
    RankerConfig,
    TrainedRanker,
    train_ranker,
)
from ml.ranking_batches import Batch, ranking_loss, sample_negatives
from ml.serving.ranker import Ranker, load_edges

CONFIG = RankerConfig(epochs=5, groups_at_once=4)


class Rows(NamedTuple):
    dense: NDArray[np.float32]
    codes: NDArray[np.int64]
    group: NDArray[np.int32]
    label: NDArray[np.float32]


def shop(groups: int, seed: int, size: int = 40) -> Rows:
    """Chances rise with feature 0, peak in the middle of feature 1 and differ by brand."""
    rng = np.random.default_rng(seed)
    n = groups * size
    dense = rng.normal(size=(n, 6)).astype(np.float32)
    dense[:, 4] = np.exp(dense[:, 4] * 8)
    codes = rng.integers(0, 5, (n, 2))
    rows = Rows(dense, codes, np.repeat(np.arange(groups), size).astype(np.int32), dense[:, 0])
    chance = 1 / (1 + np.exp(-odds(rows)))
    return rows._replace(label=(rng.random(n) < chance).astype(np.float32))


def odds(rows: Rows) -> NDArray[np.float32]:
    """Logits of the truth."""
    return 1.2 * rows.dense[:, 0] - rows.dense[:, 1] ** 2 + 0.7 * (rows.codes[:, 0] == 3) - 2.0


def train(rows: Rows, valid: Rows, config: RankerConfig = CONFIG) -> TrainedRanker:
    return train_ranker(rows, valid, config, lambda _fraction, _figures: None)


@pytest.fixture(scope="module")
def ranker() -> TrainedRanker:
    return train(shop(300, 1), shop(100, 2))


@pytest.fixture(scope="module")
def served(ranker: TrainedRanker, tmp_path_factory: pytest.TempPathFactory) -> Ranker:
    folder = tmp_path_factory.mktemp("release")
    ranker.export(folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "ranker.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return Ranker(session, load_edges(folder, 6))


def test_the_loss_of_a_group_is_the_surprise_at_its_positives() -> None:
    batch = Batch(
        dense=torch.zeros(0),
        fields=torch.zeros(0),
        label=torch.tensor([1.0, 0, 0, 0]),
        group=torch.tensor([0, 0, 1, 1]),
        weight=torch.ones(4),
    )

    loss = ranking_loss(torch.tensor([1.0, 2.0, 5.0, 6.0]), batch, pointwise=0.0)

    assert loss.item() == pytest.approx(-np.log(np.e / (np.e + np.e**2)), abs=1e-6)


def test_a_sampled_negative_stands_for_those_it_was_drawn_from() -> None:
    def loss(logits: list[float], label: list[float], weight: list[float]) -> float:
        batch = Batch(
            torch.zeros(0),
            torch.zeros(0),
            torch.tensor(label),
            torch.zeros(len(label), dtype=torch.long),
            torch.tensor(weight),
        )
        return ranking_loss(torch.tensor(logits), batch, pointwise=0.3).item()

    whole = loss([1.0, 2.0, 2.0, 2.0], [1.0, 0.0, 0.0, 0.0], [1.0] * 4)

    assert loss([1.0, 2.0], [1.0, 0.0], [1.0, 3.0]) == pytest.approx(whole, abs=1e-6)


def test_sampling_keeps_every_positive_and_the_balance() -> None:
    rows = shop(50, 3)

    kept, weight = sample_negatives(rows.group, rows.label, 10, np.random.default_rng(0))

    assert rows.label[kept].sum() == rows.label.sum()
    assert (np.diff(rows.group[kept]) >= 0).all()
    assert len(np.unique(kept)) == len(kept)
    counts = np.bincount(rows.group[kept], weight)
    assert counts == pytest.approx(np.bincount(rows.group))


def test_it_learns_what_drives_choice(ranker: TrainedRanker) -> None:
    rows = shop(100, 9)

    logits = ranker.logits(rows)

    assert metrics.auc(rows.label, logits) > metrics.auc(rows.label, odds(rows)) - 0.02
    best = metrics.grouped_ndcg(rows.label, odds(rows), rows.group)
    assert metrics.grouped_ndcg(rows.label, logits, rows.group) > 0.95 * best
    assert len({len(values) for values in ranker.curve.values()}) == 1


def test_its_probabilities_mean_what_they_say(ranker: TrainedRanker) -> None:
    rows = shop(200, 10)

    promised = probabilities(ranker.calibration, ranker.logits(rows))

    assert metrics.calibration_error(rows.label, promised) <= 0.02
    assert ranker.metrics["ece"] <= 0.02
    assert (np.diff(ranker.calibration.logits) > 0).all()
    assert (np.diff(ranker.calibration.probabilities) > 0).all()


def test_shuffled_labels_teach_nothing() -> None:
    rng = np.random.default_rng(0)
    rows, valid = (
        rows._replace(label=rng.permutation(rows.label)) for rows in (shop(200, 1), shop(1000, 2))
    )

    ranker = train(rows, valid, RankerConfig(epochs=2, groups_at_once=8))

    assert metrics.auc(valid.label, ranker.logits(valid)) == pytest.approx(0.5, abs=0.01)


def test_equal_seed_and_data_give_equal_metrics(ranker: TrainedRanker) -> None:
    again = train(shop(300, 1), shop(100, 2))

    assert again.metrics == ranker.metrics
    assert again.curve == ranker.curve


def test_the_file_gives_what_the_network_gives(ranker: TrainedRanker, served: Ranker) -> None:
    for n in (1, 7, 300):
        rows = shop(1, 4, size=n)
        logits = served.logits(rows.dense, rows.codes)
        assert logits.shape == (n,)
        assert np.abs(logits - ranker.logits(rows)).max() <= 1e-5


def test_the_file_survives_whatever_it_is_fed(served: Ranker) -> None:
    rows = shop(1, 5)
    rows.dense[:5, :5] = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38], np.float32)
    rows.codes[:3, 0] = [-1, 5, 10**9]

    logits = served.logits(rows.dense, rows.codes)

    assert np.isfinite(logits).all()


def test_a_product_of_an_unseen_brand_is_treated_as_of_unknown_brand(
    served: Ranker,
) -> None:
    rows = shop(1, 6)
    unknown, unseen = rows.codes.copy(), rows.codes.copy()
    unknown[:, 0], unseen[:, 0] = 0, 77

    found = [served.logits(rows.dense, codes) for codes in (unknown, unseen)]

    assert (found[0] == found[1]).all()


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_single_class_is_refused(label: float) -> None:
    rows = shop(5, 8)

    with pytest.raises(NotEnoughData):
        train(rows._replace(label=np.full_like(rows.label, label)), rows)
