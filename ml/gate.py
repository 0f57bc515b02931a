"""Whether a shop's own models may serve: only if they beat the best classical order.

The comparison runs on the shop's own later weeks, over the same shoppers, with products already
bought removed. Own models pass when their NDCG@20 is above the best baseline's in at least
`SURE` of the paired bootstrap samples; otherwise the best classical order serves.
"""

from typing import NamedTuple

from msgspec import structs

from ml.comparison import ListQuality
from ml.metrics import Lift, bootstrap_lift
from ml.release import Gate, Score
from ml.serving.blend import BLEND
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
    BLEND: "a blend of simple methods",
}


class Contest(NamedTuple):
    """What is compared; every quality of a mode is of the same shoppers in the same order."""

    own: ListQuality
    baselines: dict[str, ListQuality]
    """The classical methods in full."""
    servable: dict[str, ListQuality]
    """Orders that the engine can serve in place of own models, the blend among them."""
    repeat_own: ListQuality
    """With repeats allowed, as are the next."""
    repeat_servable: dict[str, ListQuality]
    parent: Gate | None = None
    """The verdict on the release in service, over its own later weeks."""


def decide(contest: Contest) -> Gate:
    """Judge own models against every baseline, the blend, and the release in service."""
    own = contest.own.ndcg
    champion = best_servable(contest.servable)
    rivals = {**contest.baselines, BLEND: contest.servable[BLEND]}
    baseline = max(rivals, key=lambda name: rivals[name].ndcg.mean())
    lift = bootstrap_lift(own, rivals[baseline].ndcg)
    beaten = _surely_better(contest.own, rivals[baseline])
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
    repeats = all(
        _surely_better(contest.repeat_own, rival) for rival in contest.repeat_servable.values()
    )
    return Gate(
        passed=passed,
        verdict=verdict,
        champion=OWN_MODELS if passed else champion,
        keeps_parent=beaten and worse_than_parent,
        repeat_champion=OWN_MODELS if repeats else best_servable(contest.repeat_servable),
        shoppers=len(own),
        baseline=baseline,
        lift=lift.mean,
        lift_low=lift.low,
        lift_high=lift.high,
        scores=_table(contest.own, rivals),
    )


def best_servable(orders: dict[str, ListQuality]) -> str:
    """The blend, unless another order leads it by more than the standard error of the lead.

    The best of several orders over few shoppers is often so by chance; the blend leans on all.
    """
    blend = orders[BLEND].ndcg
    best = max(orders, key=lambda name: orders[name].ndcg.mean() if len(blend) else 0.0)
    lead = orders[best].ndcg - blend
    if len(blend) < FEWEST_SHOPPERS or lead.mean() <= lead.std() / len(lead) ** 0.5:
        return BLEND
    return best


def without_models(
    reason: str, servable: dict[str, ListQuality], repeat_servable: dict[str, ListQuality]
) -> Gate:
    """No network was trained: the best order that needs none serves."""
    champion = best_servable(servable)
    return Gate(
        passed=False,
        verdict=f"{reason} Served meanwhile: {DISPLAY[champion]}.",
        champion=champion,
        repeat_champion=best_servable(repeat_servable),
        shoppers=len(servable[BLEND].ndcg),
    )


def _surely_better(own: ListQuality, rival: ListQuality) -> bool:
    enough = len(own.ndcg) >= FEWEST_SHOPPERS
    return enough and bootstrap_lift(own.ndcg, rival.ndcg).wins >= SURE


def _is_worse(lift: Lift, parent: Gate | None) -> bool:
    """Whether the lift lies below that of the models in service, intervals apart."""
    if parent is None or not parent.passed or parent.lift_low is None:
        return False
    return lift.high < parent.lift_low


def _table(own: ListQuality, rivals: dict[str, ListQuality]) -> list[Score]:
    rows = [_beside(own, name, quality) for name, quality in rivals.items()]
    return [own.score(OWN_MODELS), *sorted(rows, key=lambda row: -row.ndcg)]


def _beside(own: ListQuality, name: str, rival: ListQuality) -> Score:
    """A rival's row, with what own models gain over it."""
    row = rival.score(name)
    if not row.ndcg:
        return row
    lift = bootstrap_lift(own.ndcg, rival.ndcg)
    return structs.replace(row, lift=lift.mean, lift_low=lift.low, lift_high=lift.high)
