"""What shoppers were shown: read with its place, taught as it turned out, unknown when serving."""

import json

import numpy as np
import pyarrow as pa
import pytest

from ml.dataset import EVENTS, Dataset
from ml.objective import target_of
from ml.ranking_set import Candidates
from ml.retrieval import TowerConfig
from ml.serving.candidate_features import DENSE_FEATURES
from ml.shop import Shop, build_shop
from ml.train import Encoders, describe_catalogue
from ml.windows import Cuts, Window, Windowing, describe_windows
from tests.ml.toy_shop import DAY_S, PRODUCTS_EACH, TASTES, toy_dataset

SLOT = DENSE_FEATURES.index("exposure slot")
UNWANTED = 4
"""Products of another taste shown to each shopper in the last days."""


def silent(_stage: str, _fraction: float, _figures: dict[str, float]) -> None:
    pass


def dataset_with_impressions() -> Dataset:
    data = toy_dataset()
    end_us = int(data.events["occurred_at"].cast(pa.int64()).to_numpy().max())
    rows: list[dict[str, object]] = []
    for shopper in range(300):
        for place in range(UNWANTED):
            taste = (shopper + 3) % TASTES
            product = taste * PRODUCTS_EACH + (shopper + place) % PRODUCTS_EACH
            context = {"slot": place + 1} if place else {"page": "home"}
            rows.append(
                {
                    "event_id": f"i{shopper}-{place}",
                    "type": "impression",
                    "customer_id": f"c{shopper:04}",
                    "product_id": f"p{product:03}",
                    "occurred_at": end_us - DAY_S * 1_000_000,
                    "context": json.dumps(context),
                }
            )
    shown = pa.table(
        [pa.array([row.get(field.name) for row in rows], field.type) for field in EVENTS], EVENTS
    )
    return data._replace(events=pa.concat_tables([data.events, shown]))


@pytest.fixture(scope="module")
def shop() -> Shop:
    return build_shop(dataset_with_impressions())


def windows_of(shop: Shop) -> list[Window]:
    """What a training describes, without the training."""
    catalogue = describe_catalogue(shop, None, Encoders(), silent)
    how = Windowing(
        kind=target_of("auto", shop.log), most_shoppers=3_000, seed=17, towers=TowerConfig()
    )
    earlier, later = describe_windows(shop, catalogue, Cuts.of_log(shop.log), how, silent)
    return [*earlier, later.window]


@pytest.fixture(scope="module")
def windows(shop: Shop) -> list[Window]:
    return windows_of(shop)


def test_the_place_is_read_from_the_context(shop: Shop) -> None:
    exposures = shop.exposures

    assert len(exposures.ts) == 300 * UNWANTED
    assert np.bincount(exposures.slot).tolist() == [300, 0, 300, 300, 300]
    assert (np.diff(exposures.ts) >= 0).all()


@pytest.mark.parametrize(
    ("context", "slot"),
    [('{"position": 7}', 7), ('{"slot":12,"page":"x"}', 12), ('{"slot": "top"}', 0), (None, 0)],
)
def test_a_place_may_be_called_a_position_or_be_missing(context: str | None, slot: int) -> None:
    data = dataset_with_impressions()
    column = data.events.schema.get_field_index("context")
    events = data.events.slice(len(data.events) - 1).set_column(
        column, EVENTS.field("context"), pa.array([context], pa.string())
    )

    assert build_shop(data._replace(events=events)).exposures.slot.tolist() == [slot]


def test_what_was_shown_and_not_chosen_becomes_a_negative(
    shop: Shop, windows: list[Window]
) -> None:
    *earlier, later = windows

    assert not any(window.taught for window in earlier)  # nothing was shown in them
    assert later.taught is not None
    new = later.taught[0]
    for group in (0, 1, 2):
        shopper = int(new.shopper[group])
        shown = shop.exposures.item[shop.exposures.shopper == shopper]
        mine = new.group == group
        assert np.isin(shown, new.item[mine]).all()
        assert not new.label[mine][np.isin(new.item[mine], shown)].any()
        assert len(np.unique(new.item[mine])) == mine.sum()


def test_half_the_shoppers_and_all_served_lists_know_no_place(
    windows: list[Window],
) -> None:
    later = windows[-1]
    assert later.taught is not None
    new = later.taught[0]

    def places(candidates: Candidates, odd: int) -> set[float]:
        chosen = candidates.shopper[candidates.group] % 2 == odd
        return set(np.expm1(candidates.dense[chosen, SLOT]).round().tolist())

    assert places(new, 0) == {0.0}
    assert places(new, 1) == {0.0, 2.0, 3.0, 4.0}
    assert places(later.new, 0) | places(later.new, 1) == {0.0}


def test_without_impressions_nothing_changes() -> None:
    found = windows_of(build_shop(toy_dataset()))

    assert found
    assert not any(window.taught for window in found)
