"""A ranker learned from windows, stopped and calibrated by shoppers who were held out."""

from collections.abc import Callable

from ml.ranking import RankerConfig, TrainedRanker, train_ranker
from ml.ranking_set import split_shoppers
from ml.windows import MODES, Window

HELD_OUT = 0.15
"""Share of shoppers that decide when the ranker stops and how its scores are calibrated."""


def fit_ranker(
    windows: list[Window], config: RankerConfig, seed: int, report: Callable[..., None]
) -> TrainedRanker:
    """Takes over `windows` and lets go of them: beside their copies they would be the peak.

    The held-out shoppers' lists are those that are served.
    """
    parts = [window.of(mode) for window in windows for mode in MODES]
    taught = [c for window in windows for c in window.taught or (window.new, window.repeat)]
    more = any(window.taught for window in windows)
    windows.clear()
    kept, held = split_shoppers(parts, HELD_OUT, seed)
    if more:
        kept, _ = split_shoppers(taught, HELD_OUT, seed)
    parts.clear()
    taught.clear()
    return train_ranker(kept, held, config, report)
