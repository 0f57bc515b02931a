"""What is known of the customers of a shop."""

from collections import Counter
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.serving.traits import MOST_TRAITS, trait_rows, traits_of

FEWEST_WITH_TRAIT = 10
"""Shoppers; what fewer share would name them rather than describe them."""
MOST_KNOWN = 1_000


class Traits(NamedTuple):
    names: list[str]
    """Position 0 is no trait."""
    of_shopper: NDArray[np.int32]
    """(shoppers, MOST_TRAITS), rows of `names`; 0 is none."""


def shopper_traits(customers: pa.Table, shopper_ids: list[str]) -> Traits:
    """customers: columns of `ml.dataset.CUSTOMERS`, the last row of an id counts."""
    told = zip(
        customers["customer_id"].to_pylist(), customers["attributes"].to_pylist(), strict=True
    )
    traits = {str(customer): _decoded(attributes) for customer, attributes in told if attributes}
    mine = [traits.get(shopper, []) for shopper in shopper_ids]
    frequency = Counter(trait for each in mine for trait in each)
    shared = sorted(trait for trait, n in frequency.items() if n >= FEWEST_WITH_TRAIT)
    kept = sorted(sorted(shared, key=lambda trait: -frequency[trait])[:MOST_KNOWN])
    index = {trait: row for row, trait in enumerate(kept, start=1)}
    rows = np.zeros((len(shopper_ids), MOST_TRAITS), np.int32)
    for shopper, each in enumerate(mine):
        if each:
            rows[shopper] = trait_rows(each, index)
    return Traits(["", *kept], rows)


def _decoded(attributes: str) -> list[str]:
    try:
        return traits_of(msgspec.json.decode(attributes))
    except msgspec.DecodeError:
        return []
