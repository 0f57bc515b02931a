"""The release that speed is measured on answers as a shop's own would."""

from pathlib import Path

import numpy as np

from ml.serving.engine import load_release, recommend
from ml.serving.request import EngineRequest
from tests.benchmarks.big_release import NOW_S, PRODUCTS, random_history, write_big_release


def test_the_release_that_is_timed_is_answered_by_its_own_models(tmp_path: Path) -> None:
    release = load_release(write_big_release(tmp_path, "bench", "bench"))
    recent, bought = random_history(np.random.default_rng(1), NOW_S, 10, 10)

    answer = recommend(release, EngineRequest(now_s=NOW_S, limit=12, recent=recent, bought=bought))

    assert len(release.product_ids) == PRODUCTS
    assert answer.served_by == "own-models"
    assert len(answer.items) == 12
