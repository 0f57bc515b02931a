"""Category path, brand and price of a product as the item tower takes them; plain tables."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CATEGORY_SEPARATOR = ">"
CATEGORY_LEVELS = 3
CATEGORICAL = ("brand", "level 1", "level 2", "level 3")
BUCKETED = ("price bucket", "relative price bucket")
CODES = (*CATEGORICAL, *BUCKETED)
DENSE = ("log price", "relative price")
NONE = "(none)"
"""Stands for null: Categorify fails on a string column that is null throughout a batch."""
OUT_OF_VOCABULARY = 2


class Facts(NamedTuple):
    """(products,) each; None where unknown."""

    brand: list[str | None]
    category: list[str | None]
    price_cents: list[int | None]


class Encoding(NamedTuple):
    """How a catalogue is encoded, as plain values."""

    vocabularies: dict[str, dict[str, int]]
    """Field of CATEGORICAL → name → code; an unknown name gets OUT_OF_VOCABULARY."""
    edges: dict[str, list[float]]
    """Field of BUCKETED → ascending edges."""
    mean: dict[str, float]
    deviation: dict[str, float]
    fill: float
    """Logarithm of the price of a product without one."""
    usual: dict[str, float]
    """Name of level 3 → mean logarithm of the prices there."""


class Columns(NamedTuple):
    """Products as columns; nothing in here is null."""

    names: dict[str, list[str]]
    log_price: NDArray[np.float64]
    relative_price: NDArray[np.float64]
    fill: float
    usual: dict[str, float]


def apply_encoding(
    encoding: Encoding, facts: Facts
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(products, len(CODES)) and (products, len(DENSE)), as NVTabular's workflow would."""
    columns = columns_of(facts, encoding)
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


def columns_of(facts: Facts, learned: Encoding | None = None) -> Columns:
    """learned: where usual prices come from; from `facts` themselves without it."""
    names = {"brand": [str(value) if value else NONE for value in facts.brand]}
    paths = [
        [part.strip() for part in value.split(CATEGORY_SEPARATOR)] if value else []
        for value in facts.category
    ]
    for level in range(CATEGORY_LEVELS):
        names[f"level {level + 1}"] = [
            " > ".join(path[: level + 1]) if len(path) > level else NONE for path in paths
        ]
    log_price = log_of(facts.price_cents)
    narrow = names[f"level {CATEGORY_LEVELS}"]
    if learned is None:
        known = log_price[~np.isnan(log_price)]
        fill = float(np.median(known)) if known.size else 0.0
        usual = _means(narrow, log_price)
    else:
        fill, usual = learned.fill, learned.usual
    against = np.array([usual.get(name, np.nan) for name in narrow], np.float64)
    return Columns(
        names=names,
        log_price=np.where(np.isnan(log_price), fill, log_price),
        relative_price=np.nan_to_num(log_price - against),
        fill=fill,
        usual=usual,
    )


def log_of(price_cents: list[int | None]) -> NDArray[np.float64]:
    """Natural logarithms; NaN where there is no price."""
    return np.array([np.log(cents) if cents and cents > 0 else np.nan for cents in price_cents])


def _means(names: list[str], values: NDArray[np.float64]) -> dict[str, float]:
    """Mean of the known values of each name that has any."""
    distinct, inverse = np.unique(names, return_inverse=True)
    known = ~np.isnan(values)
    total = np.bincount(inverse[known], values[known], len(distinct))
    count = np.bincount(inverse[known], minlength=len(distinct))
    return {
        str(name): float(value / n)
        for name, value, n in zip(distinct, total, count, strict=True)
        if n
    }
