"""What happened inside the two stages for every shopper, as tables that anybody can grade.

It takes a release's tables and networks apart in the order the engine uses them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.serving.candidate_features import candidate_features
from ml.serving.release import LoadedRelease
from ml.serving.request import Mode
from ml.serving.shopper import Shopper, may_see
from ml.serving.sources import (
    LOWEST_CANDIDATE,
    SOURCES,
    best,
    merge_candidates,
    profile,
    source_scores,
)

DEEPEST = 500
"""Products per source that are written down."""
LIST_LENGTH = 20
SHOPPERS_AT_ONCE = 100
SOURCE_TABLE = pa.schema(
    [
        ("customer_id", pa.string()),
        ("mode", pa.string()),
        ("source", pa.string()),
        ("product_ids", pa.list_(pa.string())),
    ]
)
"""A source's own best of the whole catalogue, best first, without what may not be shown."""
CANDIDATE_TABLE = pa.schema(
    [
        ("customer_id", pa.string()),
        ("mode", pa.string()),
        ("product_id", pa.string()),
        ("probability", pa.float32()),
        *((source, pa.float32()) for source in SOURCES),
    ]
)
"""The merged candidates, with the ranker's probability and the score of every source."""


class Dissected(NamedTuple):
    """One shopper in one mode."""

    deep: list[NDArray[np.int64]]
    """Positions of the best of each source, best first."""
    candidates: NDArray[np.int64]
    scores: NDArray[np.float32]
    """(sources, candidates)."""
    probability: NDArray[np.float32]
    """(candidates,)."""


def write_anatomy(
    release: LoadedRelease,
    shoppers: list[tuple[str, Shopper]],
    folder: Path,
    progress: Callable[..., None],
) -> None:
    """Write `sources.parquet` and `candidates.parquet` of products new to each shopper.

    shoppers: id and state. Without a ranker there are no rows in `candidates.parquet`.
    """
    mode: Mode = "new"
    ids = np.array(release.product_ids, dtype=object)
    with (
        pq.ParquetWriter(folder / "sources.parquet", SOURCE_TABLE, compression="zstd") as sources,
        pq.ParquetWriter(folder / "candidates.parquet", CANDIDATE_TABLE) as candidates,
    ):
        for start in range(0, len(shoppers), SHOPPERS_AT_ONCE):
            part = shoppers[start : start + SHOPPERS_AT_ONCE]
            found = [(name, dissect(release, shopper, mode)) for name, shopper in part]
            sources.write_table(_source_table(found, mode, ids))
            if release.ranks:
                candidates.write_table(_candidate_table(found, mode, ids))
            progress((start + len(part)) / len(shoppers))


def dissect(release: LoadedRelease, shopper: Shopper, mode: Mode) -> Dissected:
    tables = release.tables
    scores = source_scores(tables, shopper, profile(tables, shopper), release.query_vector(shopper))
    allowed = may_see(shopper, mode, len(release.product_ids))
    candidates = merge_candidates(release.tables, scores, allowed, LIST_LENGTH)
    probability = np.zeros(len(candidates), np.float32)
    if release.ranks:
        found = candidate_features(
            tables, shopper, scores, candidates, tables.cut_s, repeat=mode == "repeat"
        )
        probability = release.rank(found.dense, found.codes)
    deep = [
        _best_first(row, best(row, allowed, DEEPEST, LOWEST_CANDIDATE.get(source, 0.0)))
        for source, row in zip(SOURCES, scores, strict=True)
    ]
    return Dissected(deep, candidates, scores[:, candidates], probability)


def _best_first(row: NDArray[np.float32], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    return chosen[np.lexsort((chosen, -row[chosen]))]


def _source_table(
    found: list[tuple[str, Dissected]], mode: Mode, ids: NDArray[np.object_]
) -> pa.Table:
    rows = [
        (name, mode, source, ids[positions].tolist())
        for name, one in found
        for source, positions in zip(SOURCES, one.deep, strict=True)
    ]
    columns = map(list, zip(*rows, strict=True))
    return pa.Table.from_arrays(
        [pa.array(column, kind) for column, kind in zip(columns, SOURCE_TABLE.types, strict=True)],
        schema=SOURCE_TABLE,
    )


def _candidate_table(
    found: list[tuple[str, Dissected]], mode: Mode, ids: NDArray[np.object_]
) -> pa.Table:
    lengths = [len(one.candidates) for _, one in found]
    names = np.repeat(np.array([name for name, _ in found], dtype=object), lengths)
    scores = np.concatenate([one.scores for _, one in found], axis=1)
    columns = [
        names,
        np.full(len(names), mode, dtype=object),
        ids[np.concatenate([one.candidates for _, one in found])],
        np.concatenate([one.probability for _, one in found]),
        *scores,
    ]
    return pa.Table.from_arrays(
        [
            pa.array(column, kind)
            for column, kind in zip(columns, CANDIDATE_TABLE.types, strict=True)
        ],
        schema=CANDIDATE_TABLE,
    )
