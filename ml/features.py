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

from ml.serving.encoding import (
    BUCKETED,
    CATEGORICAL,
    CODES,
    DENSE,
    Columns,
    Encoding,
    Facts,
    apply_encoding,
    columns_of,
)
from ml.trainers import Trainer

FIRST_REAL_CODE = 3
RAREST = 2
"""A name that fewer products carry shares the out-of-vocabulary code."""
PRICE_BUCKETS = 16


class ItemFeatures(NamedTuple):
    codes: NDArray[np.int32]
    """(items, len(CODES))."""
    cardinalities: list[int]
    """Codes of each column lie in [0, cardinality)."""
    dense: NDArray[np.float32]
    """(items, len(DENSE)), mean 0, deviation 1."""
    encoding: Encoding
    content: NDArray[np.float32]
    """(items, width): what text and images say; width 0 where nothing was encoded."""


def encode_catalogue(
    products: pa.Table,
    trainer: Trainer = "merlin",
    content: NDArray[np.float32] | None = None,
) -> ItemFeatures:
    """Fit the workflow on a catalogue and encode it; without NVTabular for the torch trainer.

    products: columns of `ml.dataset.PRODUCTS`; optional ones may be null throughout.
    content: (products, width), vectors of length 1 or 0.
    """
    columns = columns_of(facts_of(products))
    if content is None:
        content = np.zeros((len(products), 0), np.float32)
    edges = {
        "price bucket": _quantiles(columns.log_price),
        "relative price bucket": _quantiles(columns.relative_price),
    }
    if trainer == "torch":
        return _encode_plainly(products, columns, edges, content)
    with tempfile.TemporaryDirectory() as folder:
        fitted = _run_workflow(columns, edges, Path(folder))
        vocabularies = _vocabularies(Path(folder))
    codes = np.stack([fitted.encoded[name] for name in CODES], axis=1).astype(np.int32)
    dense = np.stack([fitted.encoded[name] for name in DENSE], axis=1).astype(np.float32)
    encoding = Encoding(
        vocabularies, edges, fitted.mean, fitted.deviation, columns.fill, columns.usual
    )
    return ItemFeatures(codes, _cardinalities(encoding), dense, encoding, content)


def _encode_plainly(
    products: pa.Table,
    columns: Columns,
    edges: dict[str, list[float]],
    content: NDArray[np.float32],
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
        usual=columns.usual,
    )
    codes, dense = apply_encoding(encoding, facts_of(products))
    return ItemFeatures(codes, _cardinalities(encoding), dense, encoding, content)


def _cardinalities(encoding: Encoding) -> list[int]:
    named = [FIRST_REAL_CODE + len(encoding.vocabularies[name]) for name in CATEGORICAL]
    return [*named, *(len(encoding.edges[name]) + 1 for name in BUCKETED)]


def facts_of(products: pa.Table) -> Facts:
    """products: columns of `ml.dataset.PRODUCTS`."""
    return Facts(
        brand=products["brand"].to_pylist(),
        category=products["category"].to_pylist(),
        price_cents=products["price_cents"].to_pylist(),
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
