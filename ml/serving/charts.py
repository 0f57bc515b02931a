"""Orders that are the same for every shopper: beside products, trending, popular."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.serving.reasons import POPULAR, TRENDING, Reason, complement_reasons, similar_reasons
from ml.serving.release import LoadedRelease
from ml.serving.request import EngineRequest, UnknownProduct
from ml.serving.similar import complement_scores, relative, similar_scores


class Chart(NamedTuple):
    served_by: str
    scores: NDArray[np.float32]
    """(items,) in [0, 1]; 0 is not in the chart."""
    anchors: NDArray[np.int64]
    """Positions of the products it rests on, which are not in it."""
    together: NDArray[np.bool_]
    """(items,): bought together with an anchor."""


def chart_of(release: LoadedRelease, request: EngineRequest) -> Chart | None:
    """None where the answer depends on the shopper. Raises UnknownProduct."""
    market = release.market_index.get(request.market or "", 0)
    tables = release.tables
    if request.goes_with:
        anchors = known(release, request.goes_with)
        scores, together = complement_scores(tables, anchors, market)
        return Chart("item-knn" if together.any() else "trending", scores, anchors, together)
    if request.similar_to is not None:
        anchors = known(release, [request.similar_to])
        scores, together = similar_scores(tables, int(anchors[0]), market)
        return Chart("item-knn" if together.any() else "content", scores, anchors, together)
    rows = {"trending": tables.market_trends[market], "popularity": tables.popularity}
    row = rows.get(request.ranked_by)
    if row is None:
        return None
    return Chart(request.ranked_by, relative(row), np.zeros(0, np.int64), np.zeros(len(row), bool))


def known(release: LoadedRelease, product_ids: list[str]) -> NDArray[np.int64]:
    """Positions, each once. Raises UnknownProduct where there is none."""
    found = {release.index[name] for name in product_ids if name in release.index}
    if not found:
        raise UnknownProduct(f"the release does not know {', '.join(product_ids)}")
    return np.array(sorted(found))


def chart_reasons(
    release: LoadedRelease, request: EngineRequest, chart: Chart, chosen: NDArray[np.int64]
) -> list[Reason]:
    """One per chosen position."""
    if request.goes_with:
        return complement_reasons(release.tables, chart.anchors, chosen)
    if request.similar_to is not None:
        codes = similar_reasons(release.tables, int(chart.anchors[0]), chosen, chart.together)
        return [Reason(code, request.similar_to) for code in codes]
    code = TRENDING if request.ranked_by == "trending" else POPULAR
    return [Reason(code)] * len(chosen)
