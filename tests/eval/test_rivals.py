"""The simple methods against what another harness measured for them, and by hand."""

import pytest

from tests.eval import raw
from tests.eval.grading import grade, split_at
from tests.eval.rivals import item_knn, known, lists_by, rivals, trending_for_all
from tests.eval.test_grading import DAY, shop

MEASURED = {
    "uci_online_retail": {"popularity": 0.0393, "trending": 0.0925, "item-kNN": 0.0689},
    "movielens_1m": {"popularity": 0.1716, "trending": 0.1805, "item-kNN": 0.1857},
}


@pytest.mark.parametrize("dataset", MEASURED)
def test_a_rival_scores_what_another_harness_measured(dataset: str) -> None:
    if not raw.is_present(dataset):
        pytest.skip(f"{dataset} is not in {raw.DATA}")
    cut = raw.CUTS[dataset]
    split = split_at(raw.purchases(dataset), cut.test, cut.until)

    found = {
        name: float(grade(split, lists, "new").ndcg.mean())
        for name, lists in rivals(dataset, split, "new").items()
    }

    assert found == pytest.approx(MEASURED[dataset], abs=0.0002)


def test_neighbours_are_what_the_same_shoppers_bought() -> None:
    split = split_at(
        shop(
            *((who, what, 1) for who in ("ann", "bob") for what in ("cup", "saucer")),
            *(("cat", "cup", 2), ("dan", "drum", 2), ("cat", "later", 9)),
        ),
        5 * DAY,
        20 * DAY,
    )
    here = known(split)

    assert lists_by(here, item_knn(here), split, "new")["cat"][0] == "saucer"
    assert "cup" not in lists_by(here, item_knn(here), split, "new")["cat"]
    assert "cup" in lists_by(here, item_knn(here), split, "repeat")["cat"]


def test_a_newcomer_is_shown_what_sold_lately() -> None:
    old = ((f"shopper-{n}", "old", 1) for n in range(3))
    split = split_at(shop(*old, ("ann", "fresh", 99), ("ann", "x", 101)), 100 * DAY, 110 * DAY)

    assert trending_for_all("uci_online_retail", split) == ["fresh", "old"]
