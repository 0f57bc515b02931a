"""What the item tower sees of a catalogue, by NVTabular; the only module that knows NVTabular.

The workflow's vocabularies and normalisers leave this module as plain tables (`Encoding`), so that
a new product is encoded at serving time without the framework.
"""

import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.statistics import CATEGORY_SEPARATOR, log_prices, mean_by_group
from ml.trainers import Trainer

CATEGORY_LEVELS = 3
CATEGORICAL = ("brand", "level 1", "level 2", "level 3")
BUCKETED = ("price bucket", "relative price bucket")
CODES = (*CATEGORICAL, *BUCKETED)
DENSE = ("log price", "relative price")
NONE = "(none)"
"""Stands for null: Categorify fails on a string column that is null throughout a batch."""
FIRST_REAL_CODE = 3
OUT_OF_VOCABULARY = 2
RAREST = 2
"""A name that fewer products carry shares the out-of-vocabulary code."""
PRICE_BUCKETS = 16


class Encoding(NamedTuple):
    """How the workflow encodes, as plain values."""

    vocabularies: dict[str, dict[str, int]]
    """Field of CATEGORICAL → name → code; an unknown name gets OUT_OF_VOCABULARY."""
    edges: dict[str, list[float]]
    """Field of BUCKETED → ascending edges."""
    mean: dict[str, float]
    deviation: dict[str, float]
    fill: float
    """Logarithm of the price of a product without one."""


class ItemFeatures(NamedTuple):
    codes: NDArray[np.int32]
    """(items, len(CODES))."""
    cardinalities: list[int]
    """Codes of each column lie in [0, cardinality)."""
    dense: NDArray[np.float32]
    """(items, len(DENSE)), mean 0, deviation 1."""
    encoding: Encoding


class Columns(NamedTuple):
    """A catalogue as the columns the workflow reads; nothing in here is null."""

    names: dict[str, list[str]]
    log_price: NDArray[np.float64]
    relative_price: NDArray[np.float64]
    fill: float


def encode_catalogue(products: pa.Table, trainer: Trainer = "merlin") -> ItemFeatures:
    """Fit the workflow on a catalogue and encode it; without NVTabular for the torch trainer.

    products: columns of `ml.dataset.PRODUCTS`; optional ones may be null throughout.
    """
    columns = _columns(products)
    edges = {
        "price bucket": _quantiles(columns.log_price),
        "relative price bucket": _quantiles(columns.relative_price),
    }
    if trainer == "torch":
        return _encode_plainly(products, columns, edges)
    with tempfile.TemporaryDirectory() as folder:
        fitted = _run_workflow(columns, edges, Path(folder))
        vocabularies = _vocabularies(Path(folder))
    codes = np.stack([fitted.encoded[name] for name in CODES], axis=1).astype(np.int32)
    dense = np.stack([fitted.encoded[name] for name in DENSE], axis=1).astype(np.float32)
    encoding = Encoding(vocabularies, edges, fitted.mean, fitted.deviation, columns.fill)
    return ItemFeatures(codes, _cardinalities(encoding), dense, encoding)


def _encode_plainly(
    products: pa.Table, columns: Columns, edges: dict[str, list[float]]
) -> ItemFeatures:
    """As the workflow does: names by falling frequency, rare ones left out."""
    vocabularies: dict[str, dict[str, int]] = {}
    for name in CATEGORICAL:
        counts = Counter(columns.names[name])
        kept = sorted((n for n in counts if counts[n] >= RAREST), key=lambda n: (-counts[n], n))
        vocabularies[name] = {value: FIRST_REAL_CODE + place for place, value in enumerate(kept)}
    values = dict(zip(DENSE, (columns.log_price, columns.relative_price), strict=True))
    encoding = Encoding(
        vocabularies=vocabularies,
        edges=edges,
        mean={name: float(column.mean()) for name, column in values.items()},
        deviation={name: float(column.std(ddof=1)) for name, column in values.items()},
        fill=columns.fill,
    )
    codes, dense = apply_encoding(encoding, products)
    return ItemFeatures(codes, _cardinalities(encoding), dense, encoding)


def _cardinalities(encoding: Encoding) -> list[int]:
    named = [FIRST_REAL_CODE + len(encoding.vocabularies[name]) for name in CATEGORICAL]
    return [*named, *(len(encoding.edges[name]) + 1 for name in BUCKETED)]


def apply_encoding(
    encoding: Encoding, products: pa.Table
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Encode products with numpy alone, as the workflow would: codes and dense."""
    columns = _columns(products, encoding.fill)
    raw = {"price bucket": columns.log_price, "relative price bucket": columns.relative_price}
    codes = [
        [encoding.vocabularies[name].get(value, OUT_OF_VOCABULARY) for value in columns.names[name]]
        for name in CATEGORICAL
    ]
    buckets = [np.searchsorted(encoding.edges[name], raw[name], side="right") for name in BUCKETED]
    values = {"log price": columns.log_price, "relative price": columns.relative_price}
    dense = [(values[n] - encoding.mean[n]) / max(encoding.deviation[n], 1e-9) for n in DENSE]
    return (
        np.stack([*map(np.asarray, codes), *buckets], axis=1).astype(np.int32),
        np.stack(dense, axis=1).astype(np.float32),
    )


def _columns(products: pa.Table, fill: float | None = None) -> Columns:
    paths = [
        [part.strip() for part in str(value).split(CATEGORY_SEPARATOR)] if value else []
        for value in products["category"].to_pylist()
    ]
    names = {"brand": [str(value) if value else NONE for value in products["brand"].to_pylist()]}
    for level in range(CATEGORY_LEVELS):
        names[f"level {level + 1}"] = [
            " > ".join(path[: level + 1]) if len(path) > level else NONE for path in paths
        ]
    log_price = log_prices(products).astype(np.float64)
    known = log_price[~np.isnan(log_price)]
    usual = float(np.median(known)) if fill is None and known.size else fill or 0.0
    category = np.unique(names["level 3"], return_inverse=True)[1].astype(np.int32)
    relative = log_price - mean_by_group(log_price.astype(np.float32), category)
    return Columns(
        names=names,
        log_price=np.where(np.isnan(log_price), usual, log_price),
        relative_price=np.nan_to_num(relative),
        fill=usual,
    )


def _quantiles(values: NDArray[np.float64]) -> list[float]:
    inner = np.linspace(0, 1, PRICE_BUCKETS + 1)[1:-1]
    return sorted({float(edge) for edge in np.quantile(values, inner)})


class Fitted(NamedTuple):
    encoded: dict[str, NDArray[np.generic]]
    mean: dict[str, float]
    deviation: dict[str, float]


def _run_workflow(columns: Columns, edges: dict[str, list[float]], folder: Path) -> Fitted:
    """The frameworks are imported here: they take ten seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # merlin's import announces frameworks that are absent
        import nvtabular
        import pandas as pd
        from merlin.io import Dataset
        from nvtabular import ops

        frame = pd.DataFrame(columns.names)
        for name, values in (
            ("log price", columns.log_price),
            ("relative price", columns.relative_price),
        ):
            frame[name] = values
            frame[f"{name.removeprefix('log ')} bucket"] = values
        named = list(CATEGORICAL) >> ops.Categorify(freq_threshold=RAREST, out_path=str(folder))
        normalize = ops.Normalize()
        scaled = list(DENSE) >> normalize
        bucketed = list(BUCKETED) >> ops.Bucketize(edges)
        workflow = nvtabular.Workflow(named + scaled + bucketed)
        encoded: Any = workflow.fit_transform(Dataset(frame)).to_ddf().compute()
    return Fitted(
        encoded={name: encoded[name].to_numpy() for name in (*CODES, *DENSE)},
        mean={name: float(normalize.means[name]) for name in DENSE},
        deviation={name: float(normalize.stds[name]) for name in DENSE},
    )


def _vocabularies(folder: Path) -> dict[str, dict[str, int]]:
    import pandas as pd

    found: dict[str, dict[str, int]] = {}
    for name in CATEGORICAL:
        table = pd.read_parquet(folder / "categories" / f"unique.{name}.parquet")
        found[name] = dict(zip(table[name].astype(str), table.index.tolist(), strict=True))
    return found
