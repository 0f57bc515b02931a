"""Exposures with an answer, described: films liked or disliked, advertised products bought or not.

The cuts are those of the peers in `tests.eval.clicks`; no number of a row knows its own label or
anything that happened after it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tests.eval.raw import read

FOLDS = 5
SMOOTH = 5.0
"""Rows of the overall mean that every mean starts from."""


class Rows(NamedTuple):
    """`ml.ranking_batches.RankingRows`, each row a group: only single answers count, no lists."""

    dense: NDArray[np.float32]
    codes: NDArray[np.int64]
    group: NDArray[np.int64]
    label: NDArray[np.float32]

    def take(self, chosen: NDArray[np.bool_]) -> "Rows":
        """Some of the rows."""
        group = np.arange(int(chosen.sum()))
        return Rows(self.dense[chosen], self.codes[chosen], group, self.label[chosen])


class ClickSet(NamedTuple):
    train: Rows
    valid: Rows
    """Cut from the peers' training rows: decides when to stop, and calibrates."""
    test: Rows
    unseen: NDArray[np.bool_] | None
    """Test rows whose product the shopper had never bought before."""


def movielens(seed: int = 2, valid_share: float = 0.05) -> ClickSet:
    """Liked (4, 5) against disliked (1, 2), a random tenth for the test; 3 is left out."""
    ratings = read("movielens_1m", "ratings").to_pandas()
    ratings = ratings[ratings.rating != 3].reset_index(drop=True)
    label = (ratings.rating > 3).to_numpy(np.float32)
    users = read("movielens_1m", "users").to_pandas().set_index("user_id")
    films = read("movielens_1m", "movies").to_pandas().set_index("item_id")
    table = ratings[["user_id", "item_id"]].join(users, on="user_id").join(films, on="item_id")
    table["year"] = table.title.str.extract(r"\((\d{4})\)")[0].fillna("0")
    table["first genre"] = table.genres.str.split("|").str[0]
    test = np.random.default_rng(0).random(len(table)) >= 0.9
    rng = np.random.default_rng(seed)
    valid = ~test & (rng.random(len(table)) < valid_share)
    fold = np.where(test | valid, -1, rng.integers(0, FOLDS, len(table)))
    keys = ["user_id", "item_id", "zip", "genres", "year"]
    pairs = [("user_id", "first genre"), ("user_id", "year"), ("item_id", "age"),
             ("item_id", "gender"), ("item_id", "occupation")]  # fmt: skip
    columns = [c for key in keys for c in out_of_fold(_codes(table[key]), label, fold)]
    for one, other in pairs:
        both = _codes(table[one]).astype(np.int64) * 10_000 + _codes(table[other])
        columns += out_of_fold(pd.factorize(both)[0], label, fold)
    names = [*keys, "gender", "age", "occupation", "first genre"]
    rows = Rows(
        dense=np.column_stack(columns).astype(np.float32),
        codes=np.column_stack([_codes(table[name]) + 1 for name in names]).astype(np.int64),
        group=np.arange(len(table)),
        label=label,
    )
    return ClickSet(rows.take(~test & ~valid), rows.take(valid), rows.take(test), None)


def out_of_fold(
    key: NDArray[np.integer], label: NDArray[np.float32], fold: NDArray[np.integer]
) -> list[NDArray[np.float64]]:
    """Mean label and logarithm of the number of rows with the same key in other folds.

    Rows of fold -1 teach nothing and learn from all folds.
    """
    size = int(key.max()) + 1
    overall = float(label[fold >= 0].mean())
    count = np.zeros((FOLDS + 1, size))
    total = np.zeros((FOLDS + 1, size))
    for each in range(FOLDS):
        mine = fold == each
        count[each] = np.bincount(key[mine], minlength=size)
        total[each] = np.bincount(key[mine], label[mine], minlength=size)
    others = (count.sum(axis=0) - count)[fold, key], (total.sum(axis=0) - total)[fold, key]
    return [(others[1] + SMOOTH * overall) / (others[0] + SMOOTH), np.log1p(others[0])]


def _codes(column: pd.Series) -> NDArray[np.integer]:
    return pd.factorize(column)[0]


class Past(NamedTuple):
    """Purchases of weeks before those that are described."""

    lines: pd.DataFrame
    week: int

    def count(self, rows: pd.DataFrame, keys: Sequence[str], weeks: int = 99) -> pd.Series:
        """Lines of the last `weeks` with the same keys as each row."""
        recent = self.lines[self.lines.week >= self.week - weeks]
        return _look_up(recent.groupby(list(keys)).size(), rows, keys).fillna(0)

    def since(self, rows: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
        """Weeks since a line with the same keys; 60 where there is none."""
        last = self.lines.groupby(list(keys)).week.max()
        return (self.week - _look_up(last, rows, keys)).fillna(60)

    def buyers(self, rows: pd.DataFrame) -> pd.Series:
        """Households that bought the product."""
        found = self.lines.groupby("product_id").household_id.nunique()
        return _look_up(found, rows, ["product_id"]).fillna(0)


def _look_up(values: pd.Series, rows: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    index = rows[keys[0]] if len(keys) == 1 else pd.MultiIndex.from_frame(rows[list(keys)])
    return pd.Series(values.reindex(index).to_numpy(), rows.index)


WEEKS = range(37, 53)
FIRST_TEST_WEEK = 49
BLOCK_WEEKS = 4
"""Weeks that are described by what was known before the first of them, as the peers' are."""
NEGATIVES = 30
COUNTED = (
    ("product_id",),
    ("product_type",),
    ("product_category",),
    ("household_id",),
    ("household_id", "product_id"),
    ("household_id", "product_type"),
    ("household_id", "product_category"),
    ("household_id", "department"),
    ("household_id", "manufacturer_id"),
    ("store_id", "product_id"),
)


def journey(seed: int = 2, valid_share: float = 0.1) -> ClickSet:
    """Advertised products bought on a visit against those that were not, the last weeks for test.

    The positives and up to 30 drawn negatives of each household, store and week. Households that
    validate train nothing.
    """
    lines = read("complete_journey_dev", "transactions").to_pandas()
    names = ["household_id", "store_id", "product_id", "week", "sales_value", "quantity"]
    lines = lines.loc[lines.quantity > 0, names]
    products = read("complete_journey_dev", "products").to_pandas().set_index("product_id")
    kinds = products[["department", "product_category", "product_type", "manufacturer_id", "brand"]]
    kinds = kinds.astype(str)
    lines = lines.join(kinds, on="product_id")
    exposures = _exposures(lines).join(kinds, on="product_id")
    price = (lines.sales_value / lines.quantity).groupby(lines.product_id)
    parts = []
    for week in WEEKS[::BLOCK_WEEKS]:
        before = lines.week < week
        in_block = exposures.week.between(week, week + BLOCK_WEEKS - 1)
        past, rows = Past(lines[before], week), exposures[in_block]
        usual = price.obj[before].groupby(lines.product_id[before]).median()
        parts.append(_described(past, rows, usual))
    dense = pd.concat(parts)
    exposures = exposures.loc[dense.index]
    coded = ["display_location", "mailer_location", "brand", "department", "product_category",
             "product_type", "manufacturer_id", "store_id", "product_id"]  # fmt: skip
    everything = Rows(
        dense=dense.to_numpy(np.float32),
        codes=np.column_stack([pd.factorize(exposures[name])[0] + 1 for name in coded]),
        group=np.arange(len(dense)),
        label=exposures.bought.to_numpy(np.float32),
    )
    households = exposures.household_id.to_numpy()
    test = exposures.week.to_numpy() >= FIRST_TEST_WEEK
    rng = np.random.default_rng(seed)
    held = np.isin(households, [h for h in np.unique(households) if rng.random() < valid_share])
    bought_before = dense["household_id product_id"].to_numpy() > 0
    return ClickSet(
        everything.take(~test & ~held),
        everything.take(~test & held),
        everything.take(test),
        ~bought_before[test],
    )


def _exposures(lines: pd.DataFrame) -> pd.DataFrame:
    """Rows of household, store, week and product in the mailer, and whether it was bought.

    Drawn in the order of the peers' harness, so that both are asked the same.
    """
    mailer = read("complete_journey_dev", "promotions_mailer").to_pandas()
    mailer = mailer[mailer.week.isin(WEEKS)].sort_values(["week", "store_id"])
    mailer = mailer.reset_index(drop=True)
    lines = lines[lines.week.isin(WEEKS)]
    visits = lines[["household_id", "store_id", "week"]].drop_duplicates()
    sizes = mailer.groupby(["week", "store_id"]).size()
    starts = dict(zip(sizes.index, np.r_[0, np.cumsum(sizes.to_numpy())[:-1]], strict=True))
    rng = np.random.default_rng(0)
    drawn, visit = [], []
    for place, (store, week) in enumerate(zip(visits.store_id, visits.week, strict=True)):
        if (week, store) in starts:
            size = sizes[(week, store)]
            drawn.append(
                starts[week, store] + rng.choice(size, min(NEGATIVES, size), replace=False)
            )
            visit.append(np.full(len(drawn[-1]), place))
    shown = mailer.iloc[np.concatenate(drawn)].reset_index(drop=True)
    shown["household_id"] = visits.household_id.to_numpy()[np.concatenate(visit)]
    keys = ["household_id", "week", "store_id", "product_id"]
    bought = lines[keys].drop_duplicates()
    positive = bought.merge(mailer, on=["week", "store_id", "product_id"])
    shown = shown.merge(bought.assign(bought=1.0), how="left", on=keys)
    negative = shown[shown.bought.isna()].assign(bought=0.0)
    return pd.concat([positive.assign(bought=1.0), negative], ignore_index=True)


def _described(past: Past, rows: pd.DataFrame, usual_price: pd.Series) -> pd.DataFrame:
    columns = {" ".join(keys): np.log1p(past.count(rows, keys)) for keys in COUNTED}
    for weeks in (1, 2, 4, 8):
        columns[f"product, {weeks} weeks"] = np.log1p(past.count(rows, ["product_id"], weeks))
    for keys in (("product_id",), ("household_id", "product_id"), ("household_id", "product_type"),
                 ("household_id", "product_category"), ("household_id",)):  # fmt: skip
        columns["since " + " ".join(keys)] = np.log1p(past.since(rows, keys))
    recent = past.count(rows, ["household_id"], 8)
    columns["household, 8 weeks"] = np.log1p(recent)
    columns["product, buyers"] = np.log1p(past.buyers(rows))
    columns["price"] = np.log1p(_look_up(usual_price, rows, ["product_id"]).fillna(0))
    mine = past.count(rows, ["household_id", "product_category"])
    all_mine = past.count(rows, ["household_id"])
    columns["category share"] = mine / (all_mine + 10)
    return pd.DataFrame(columns)
