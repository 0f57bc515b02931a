"""Made-up visits with a direction: from each product visitors mostly go on to the next one."""

import numpy as np

from ml.interactions import KIND_INDEX, KIND_WEIGHT, InteractionLog

START_S = 1_700_000_000
DAY_S = 86_400
PRODUCTS = 30


def walks(visits: int = 900, days: int = 60, seed: int = 5) -> InteractionLog:
    """Anonymous visits of two to eight views, a minute apart."""
    rng = np.random.default_rng(seed)
    events: list[tuple[int, int, int]] = []
    for visit, day in enumerate(np.sort(rng.uniform(0, days, visits))):
        place = int(rng.integers(PRODUCTS))
        for step in range(int(rng.integers(2, 9))):
            events.append((int(START_S + day * DAY_S) + 60 * step, visit, place))
            jump = 1 if rng.random() < 0.8 else int(rng.integers(PRODUCTS))
            place = (place + jump) % PRODUCTS
    return log_of([(shopper, item, "view", ts) for ts, shopper, item in sorted(events)])


def log_of(events: list[tuple[int, int, str, int]]) -> InteractionLog:
    """events: shopper, item, kind and Unix seconds, in the order of time."""
    shopper, item, kinds, ts = zip(*events, strict=True)
    kind = np.array([KIND_INDEX[name] for name in kinds], np.int8)
    return InteractionLog(
        shopper=np.array(shopper, np.int32),
        item=np.array(item, np.int32),
        kind=kind,
        ts=np.array(ts, np.int64),
        market=np.zeros(len(events), np.int16),
        device=np.zeros(len(events), np.int8),
        weight=KIND_WEIGHT[kind],
    )
