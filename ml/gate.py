"""Whether a shop's own models may serve: only if they beat the best classical order.

The comparison runs on the shop's own later weeks, over the same shoppers, with products already
bought removed. Own models pass when their NDCG@20 is above the best baseline's in at least
`SURE` of the paired bootstrap samples; otherwise the best classical order serves.
"""

from typing import NamedTuple

from ml.comparison import ListQuality
from ml.metrics import Lift, bootstrap_lift
from ml.release import Gate, Score
from ml.serving.release import OWN_MODELS

SURE = 0.75
"""The best of several baselines is flattered by being chosen; a higher bar would refuse gains."""
FEWEST_SHOPPERS = 30
BUY_AGAIN = "buy-again"
DISPLAY = {
    "popularity": "best sellers",
    "trending": "trending products",
    "item-knn": "item-kNN",
    "ease": "EASE",
    "ials": "iALS",
}


class Contest(NamedTuple):
    """What is compared; every quality is of the same shoppers in the same order."""

    own: ListQuality
    baselines: dict[str, ListQuality]
    servable: dict[str, float]
    """Mean NDCG@20 of each order the engine can serve in place of own models."""
    repeat_own: ListQuality
    """With repeats allowed, as is the next; of the same shoppers in the same order."""
    repeat_frequency: ListQuality
    parent: Gate | None = None
    """The verdict on the release in service, over its own later weeks."""


def decide(contest: Contest) -> Gate:
    """Judge own models against every baseline and against the release in service."""
    own = contest.own.ndcg
    champion = max(contest.servable, key=lambda name: contest.servable[name])
    baseline = max(contest.baselines, key=lambda name: contest.baselines[name].ndcg.mean())
    lift = bootstrap_lift(own, contest.baselines[baseline].ndcg)
    beaten = lift.wins >= SURE and len(own) >= FEWEST_SHOPPERS
    worse_than_parent = _is_worse(lift, contest.parent)
    passed = beaten and not worse_than_parent
    evidence = (
        f"{abs(lift.mean):.0%} {'better' if lift.mean >= 0 else 'worse'} than {DISPLAY[baseline]} "
        f"(95 % interval {lift.low:+.0%} to {lift.high:+.0%}, {len(own)} shoppers)"
    )
    if passed:
        verdict = f"Own models serve: {evidence}."
    elif beaten:
        verdict = f"New models were refused, the release in service is better: {evidence}."
    else:
        doubt = "their lead is not sure, " if lift.mean > 0 else ""
        verdict = f"Own models were refused: {doubt}{evidence}. Served: {DISPLAY[champion]}."
    repeat = bootstrap_lift(contest.repeat_own.ndcg, contest.repeat_frequency.ndcg)
    repeats = repeat.wins >= SURE and len(contest.repeat_own.ndcg) >= FEWEST_SHOPPERS
    return Gate(
        passed=passed,
        verdict=verdict,
        champion=OWN_MODELS if passed else champion,
        keeps_parent=beaten and worse_than_parent,
        repeat_champion=OWN_MODELS if repeats else BUY_AGAIN,
        shoppers=len(own),
        baseline=baseline,
        lift=lift.mean,
        lift_low=lift.low,
        lift_high=lift.high,
        scores=_table(contest),
    )


def _is_worse(lift: Lift, parent: Gate | None) -> bool:
    """Whether the lift lies below that of the models in service, intervals apart."""
    if parent is None or not parent.passed or parent.lift_low is None:
        return False
    return lift.high < parent.lift_low


def without_models(reason: str, servable: dict[str, float]) -> Gate:
    """No network was trained: the best classical order serves, trending where nothing is known."""
    champion = max(servable, key=lambda name: servable[name]) if servable else "trending"
    return Gate(
        passed=False,
        verdict=f"{reason} Served meanwhile: {DISPLAY[champion]}.",
        champion=champion,
        repeat_champion=BUY_AGAIN,
        shoppers=0,
    )


def _table(contest: Contest) -> list[Score]:
    rivals = [quality.score(name) for name, quality in contest.baselines.items()]
    return [contest.own.score(OWN_MODELS), *sorted(rivals, key=lambda row: -row.ndcg)]
