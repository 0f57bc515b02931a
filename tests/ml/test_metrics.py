"""Every formula against a value worked out by hand."""

import numpy as np
import pytest

from ml import metrics

HITS = np.array([[False, True, False], [True, True, False], [False, False, False]])


def test_ndcg_counts_the_place_and_caps_the_ideal_at_the_list_length() -> None:
    found = metrics.ndcg_at_k(HITS, np.array([1, 5, 2]))

    whole = 1 + 1 / np.log2(3) + 0.5
    assert found == pytest.approx([1 / np.log2(3), (1 + 1 / np.log2(3)) / whole, 0])


def test_recall_reciprocal_rank_and_hit() -> None:
    assert metrics.recall_at_k(HITS, np.array([1, 5, 2])) == pytest.approx([1, 0.4, 0])
    assert metrics.reciprocal_rank_at_k(HITS) == pytest.approx([0.5, 1, 0])
    assert metrics.hit_at_k(HITS) == pytest.approx([1, 1, 0])


def test_coverage_and_gini() -> None:
    assert metrics.coverage(np.array([[0, 1], [0, 1]]), 4) == 0.5
    assert metrics.gini(np.array([0, 1, 2, 3]), 4) == 0
    assert metrics.gini(np.array([2, 2]), 4) == pytest.approx(0.75)


def test_auc_counts_ties_as_half() -> None:
    label = np.array([1.0, 0, 1, 0])

    assert metrics.auc(label, np.array([0.9, 0.1, 0.5, 0.5])) == pytest.approx(3.5 / 4)
    assert metrics.auc(label, np.zeros(4)) == 0.5
    assert np.isnan(metrics.auc(np.ones(3), np.arange(3.0)))


def test_grouped_auc_leaves_out_groups_of_one_class() -> None:
    group = np.array([0, 0, 1, 1, 2, 2])
    label = np.array([1.0, 0, 0, 1, 0, 0])

    assert metrics.grouped_auc(label, np.array([2.0, 1, 2, 1, 5, 6]), group) == 0.5


def test_grouped_ndcg_leaves_out_groups_without_a_positive() -> None:
    group = np.array([0, 0, 3, 3, 3, 7])
    label = np.array([0.0, 1, 1, 0, 1, 0])
    score = np.array([2.0, 1, 3, 2, 1, 9])

    first = 1 / np.log2(3)
    second = (1 + 0.5) / (1 + 1 / np.log2(3))
    assert metrics.grouped_ndcg(label, score, group) == pytest.approx((first + second) / 2)
    assert metrics.grouped_ndcg(label, score, group, k=1) == pytest.approx(0.5)


def test_log_loss_survives_certainty() -> None:
    assert metrics.log_loss(np.array([1.0, 0]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))
    assert np.isfinite(metrics.log_loss(np.array([1.0]), np.array([0.0])))


def test_calibration_error_is_the_gap_between_promise_and_outcome() -> None:
    promised = np.array([0.1] * 10 + [0.6] * 10)
    happened = np.array([1.0] + [0] * 9 + [1.0] * 8 + [0] * 2)

    assert metrics.calibration_error(happened, promised, bins=2) == pytest.approx(0.1)


def test_bootstrap_interval_holds_the_lift_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.random(500)
    ours = theirs * 1.2 + rng.normal(0, 0.05, 500)

    lift = metrics.bootstrap_lift(ours, theirs)

    assert lift == metrics.bootstrap_lift(ours, theirs)
    assert lift.low < lift.mean < lift.high
    assert lift.mean == pytest.approx(0.2, abs=0.02)
    assert lift.low > 0.15
