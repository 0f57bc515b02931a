"""Grades recommendation lists against what shoppers bought later. Knows nothing of the product.

The protocol is that of docs/evaluation.md: one cut in time for everybody, the full catalogue
ranked, a product that nobody could know counts as a miss.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.eval.raw import Purchases

Mode = Literal["new", "repeat"]
Lists = Mapping[str, Sequence[str]]
TOP = 20
RESAMPLES = 1_000
SECONDS_PER_DAY = 86_400


class MalformedRecommendations(Exception):
    """A list holds a product twice, or a rank is missing."""


class Split(NamedTuple):
    """What was known before the cut, and what the known shoppers bought after it."""

    before: Purchases
    bought: dict[str, set[str]]
    later: dict[str, set[str]]
    newcomers: dict[str, set[str]]
    """What shoppers without a history bought after the cut."""
    catalogue: set[str]

    def relevant(self, mode: Mode) -> dict[str, set[str]]:
        """The right answers per shopper. `new` leaves out what the shopper bought before."""
        answers = {
            user: items - self.bought[user] if mode == "new" else items
            for user, items in self.later.items()
        }
        return {user: items for user, items in answers.items() if items}


class Grades(NamedTuple):
    """One value per shopper, in the order of `users`.

    `coverage` is the share of the known catalogue that was shown to anybody, `gini` how unequally:
    0 when every known product was shown equally often, towards 1 when one was.
    """

    users: list[str]
    ndcg: NDArray[np.float64]
    recall: NDArray[np.float64]
    mrr: NDArray[np.float64]
    hit: NDArray[np.float64]
    coverage: float
    gini: float


class Lift(NamedTuple):
    """Of the mean over shoppers, relative to a baseline; 95 % interval."""

    ratio: float
    low: float
    high: float


def split_at(purchases: Purchases, test_s: int, until_s: int) -> Split:
    is_before = purchases.ts < test_s
    is_later = (purchases.ts >= test_s) & (purchases.ts < until_s)
    user, item, ts = purchases
    before = Purchases(user[is_before], item[is_before], ts[is_before])
    bought = items_per_user(before.user, before.item)
    later = items_per_user(user[is_later], item[is_later])
    return Split(
        before=before,
        bought=bought,
        later={user: items for user, items in later.items() if user in bought},
        newcomers={user: items for user, items in later.items() if user not in bought},
        catalogue=set(before.item),
    )


def items_per_user(users: Iterable[str], items: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for user, item in zip(users, items, strict=True):
        found[user].add(item)
    return dict(found)


def grade(split: Split, lists: Lists, mode: Mode) -> Grades:
    """A shopper without a list scores zero."""
    relevant = split.relevant(mode)
    users = sorted(relevant)
    rows = [score(lists.get(user, ()), relevant[user]) for user in users]
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T
    shown = Counter(item for user in users for item in lists.get(user, ())[:TOP])
    counts = np.array([shown[item] for item in sorted(split.catalogue)])
    return Grades(users, *columns, coverage=float((counts > 0).mean()), gini=gini(counts))


def gini(counts: NDArray[np.integer]) -> float:
    """Inequality of non-negative counts; 0 where all are 0."""
    n, total = len(counts), counts.sum()
    if not total:
        return 0.0
    place = 2 * np.arange(1, n + 1) - n - 1
    return float(place @ np.sort(counts) / (n * total))


def score(ranked: Sequence[str], answers: set[str]) -> tuple[float, float, float, float]:
    """NDCG, recall, reciprocal rank of the first hit, and whether there is one; at 20."""
    if len(set(ranked)) != len(ranked):
        raise MalformedRecommendations(f"a product twice in one list: {list(ranked)}")
    hits = [rank for rank, item in enumerate(ranked[:TOP], start=1) if item in answers]
    if not hits:
        return 0.0, 0.0, 0.0, 0.0
    gain = sum(1 / np.log2(rank + 1) for rank in hits)
    ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(len(answers), TOP) + 1))
    return gain / ideal, len(hits) / len(answers), 1 / hits[0], 1.0


def lists_of(
    users: Sequence[str], ranks: Sequence[int], items: Sequence[str]
) -> dict[str, list[str]]:
    """Rows of recommendations in any order -> best first per shopper."""
    ranked: dict[str, dict[int, str]] = defaultdict(dict)
    for user, rank, item in zip(users, ranks, items, strict=True):
        if rank in ranked[user]:
            raise MalformedRecommendations(f"rank {rank} twice for shopper {user}")
        ranked[user][rank] = item
    for user, places in ranked.items():
        if sorted(places) != list(range(1, len(places) + 1)):
            raise MalformedRecommendations(f"a rank is missing for shopper {user}")
    return {user: [places[rank] for rank in sorted(places)] for user, places in ranked.items()}


def trending(split: Split, half_life_days: float = 7.0) -> dict[str, list[str]]:
    """The products bought most lately, without those the shopper bought already."""
    weight: Counter[str] = Counter()
    for item, value in zip(split.before.item, decay(split.before.ts, half_life_days), strict=True):
        weight[item] += value
    ranking = sorted(weight, key=lambda item: (-weight[item], item))
    return {user: first_not_in(ranking, split.bought[user]) for user in split.later}


def bought_again(split: Split, half_life_days: float = 180.0) -> dict[str, list[str]]:
    """What each shopper buys often and lately, then what everybody buys."""
    people = Counter(item for items in split.bought.values() for item in items)
    best_sellers = sorted(people, key=lambda item: (-people[item], item))
    own: dict[str, Counter[str]] = {user: Counter() for user in split.later}
    values = decay(split.before.ts, half_life_days)
    for user, item, value in zip(split.before.user, split.before.item, values, strict=True):
        if user in own:
            own[user][item] += value
    most = people[best_sellers[0]]
    return {
        user: sorted(
            {*weight, *first_not_in(best_sellers, set(weight))},
            key=lambda item: (-weight[item] - people[item] / most * 1e-3, item),
        )[:TOP]
        for user, weight in own.items()
    }


def first_not_in(ranking: Sequence[str], owned: set[str]) -> list[str]:
    found: list[str] = []
    for item in ranking:
        if len(found) == TOP:
            break
        if item not in owned:
            found.append(item)
    return found


def decay(ts: NDArray[np.int64], half_life_days: float) -> NDArray[np.float64]:
    age_days = (ts.max() - ts) / SECONDS_PER_DAY
    return 0.5 ** (age_days / half_life_days)


def lift(ours: Grades, theirs: Grades) -> Lift:
    """Of NDCG."""
    return lift_of(ours.ndcg, theirs.ndcg)


def lift_of(ours: NDArray[np.float64], theirs: NDArray[np.float64], seed: int = 0) -> Lift:
    """Paired bootstrap over shoppers of the ratio of the two means, minus one.

    Both (shoppers,), the same shoppers in the same order. A rival that scores nothing gives no
    ratio: all three are 0 then.
    """
    if not theirs.any():
        return Lift(0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(ours), (RESAMPLES, len(ours)))
    ratios = ours[drawn].mean(axis=1) / np.maximum(theirs[drawn].mean(axis=1), 1e-12) - 1
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Lift(float(ours.mean() / theirs.mean() - 1), float(low), float(high))
