"""The ranker's own evaluation: numbers that do not know their label, and models by name."""

import numpy as np
import pytest

from ml import metrics
from tests.eval.click_sets import FOLDS, out_of_fold
from tests.eval.clicks import KINDS, chosen_models

ROWS, KEYS = 200_000, 60_000
"""About three rows to a key: a mean that knew its own row would tell its label."""


def test_a_mean_out_of_fold_knows_nothing_of_a_label_drawn_by_lot() -> None:
    rng = np.random.default_rng(0)
    key = rng.integers(0, KEYS, ROWS)
    label = (rng.random(ROWS) < 0.3).astype(np.float32)
    fold = rng.integers(0, FOLDS, ROWS)

    mean, _ = out_of_fold(key, label, fold)
    leaking = np.bincount(key, label)[key]

    assert metrics.auc(label, mean) == pytest.approx(0.5, abs=0.01)
    assert metrics.auc(label, leaking) > 0.6


def test_test_rows_teach_nothing_and_learn_from_all_folds() -> None:
    key = np.zeros(6, np.int64)
    fold = np.array([0, 1, 2, 3, 4, -1])
    label = np.array([1, 0, 0, 0, 0, 1], np.float32)

    mean, count = out_of_fold(key, label, fold)
    other, _ = out_of_fold(key, np.array([1, 0, 0, 0, 0, 0], np.float32), fold)

    assert np.expm1(count).round().tolist() == [4, 4, 4, 4, 4, 5]
    assert mean.tolist() == other.tolist()
    assert mean[0] < mean[1]


def test_models_are_chosen_by_name() -> None:
    assert chosen_models("") == ["dlrm"]
    assert chosen_models("all") == list(KINDS)
    assert chosen_models("mlp, dcn") == ["mlp", "dcn"]
    with pytest.raises(ValueError, match="wide-deep"):
        chosen_models("gpt")
