"""Which size and pace of ranker a shop gets: a few are tried on its earlier windows.

Each learns from all of them but the last and orders the lists of that last one. Shoppers held out
of the same weeks would choose otherwise and worse: a ranker that leans on what sells in these
weeks is ahead on them and behind a month later. The window that judges is not looked at.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from ml.comparison import quality_of_order
from ml.leads import FEWEST_SHOPPERS, compare, surely_best
from ml.progress import Report, part
from ml.ranker_fit import fit_ranker
from ml.ranking import NotEnoughData, RankerConfig, TrainedRanker
from ml.ranking_set import Candidates
from ml.release import RankerChoice
from ml.windows import MODES, Window

USUAL = "usual"
NOT_SEARCHED = RankerChoice(chosen=USUAL)
Change = Mapping[str, float | int | tuple[int, ...]]
"""What a challenger has otherwise than the usual `RankerConfig`."""
CHALLENGERS: Mapping[str, Change] = {
    "narrower": {"dim": 4, "bottom": (32,), "top": (32, 16), "dropout": 0.5},
    "slower": {"learning_rate": 5e-4, "epochs": 4},
    "wider": {"dim": 16, "bottom": (128,), "top": (128, 64)},
}
"""In the order in which they are tried: what a small shop may need comes first."""


class Searched(NamedTuple):
    config: RankerConfig
    choice: RankerChoice


def search_ranker(
    windows: list[Window],
    usual: RankerConfig,
    seed: int,
    most_rows: int,
    report: Report,
    challengers: Mapping[str, Change] = CHALLENGERS,
) -> Searched:
    """Try `usual` and those of `challengers` for which `most_rows` are enough.

    windows: in order of time, without the one that judges. most_rows: rows to train on in all
    trials together, which unlike seconds are the same on every machine. Equal seed and data give
    an equal choice.
    """
    configs = affordable(windows, usual, most_rows, challengers)
    if len(configs) < 2:
        return Searched(usual, NOT_SEARCHED)
    merits: dict[str, NDArray[np.float64]] = {}
    for done, (name, config) in enumerate(configs.items()):
        progress = part(report, "ranker search", done / len(configs), 1 / len(configs))
        try:
            ranker = fit_ranker([*windows[:-1]], config, seed, progress)
        except NotEnoughData:
            return Searched(usual, NOT_SEARCHED)
        merits[name] = merit(ranker, windows[-1])
    shoppers = len(merits[USUAL])
    tried = compare(merits)
    chosen = surely_best(tried, shoppers)
    return Searched(configs[chosen], RankerChoice(chosen=chosen, shoppers=shoppers, tried=tried))


def affordable(
    windows: list[Window],
    usual: RankerConfig,
    most_rows: int,
    challengers: Mapping[str, Change] = CHALLENGERS,
) -> dict[str, RankerConfig]:
    """The usual configuration and, one by one, the challengers that fit in what is left."""
    configs = {USUAL: usual}
    if len(windows) < 2 or usual.kind == "two-tower":
        return configs
    if len(np.unique(np.concatenate([windows[-1].of(m).shopper for m in MODES]))) < FEWEST_SHOPPERS:
        return configs
    left = most_rows - rows_trained(windows[:-1], usual)
    for name, change in challengers.items():
        config = structs.replace(usual, **change)
        rows = rows_trained(windows[:-1], config)
        if rows <= left:
            configs[name] = config
            left -= rows
    return configs


def rows_trained(windows: list[Window], config: RankerConfig) -> int:
    """Rows in all epochs: the positives of every list and the negatives drawn beside them."""
    total = 0
    for window in windows:
        for candidates in window.taught or (window.new, window.repeat):
            positives = np.bincount(candidates.group, candidates.label)
            others = np.bincount(candidates.group) - positives
            total += int((positives + np.minimum(others, config.negatives)).sum())
    return total * config.epochs


def merit(ranker: TrainedRanker, window: Window) -> NDArray[np.float64]:
    """NDCG@20 of each shopper in the window, mean over the modes: (shoppers,)."""
    lists = [window.of(mode) for mode in MODES]
    ndcg = np.concatenate([_ndcg(ranker, candidates) for candidates in lists])
    _, shopper = np.unique(
        np.concatenate([candidates.shopper for candidates in lists]), return_inverse=True
    )
    return np.bincount(shopper, ndcg) / np.bincount(shopper)


def _ndcg(ranker: TrainedRanker, candidates: Candidates) -> NDArray[np.float64]:
    n_items = int(candidates.item.max(initial=0)) + 1  # matters to the coverage alone
    return quality_of_order(candidates, ranker.logits(candidates), n_items).ndcg
