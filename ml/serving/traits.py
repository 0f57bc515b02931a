"""What a shop tells of a customer, as short texts that both towers' training and serving read."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Device = Literal["desktop", "mobile", "tablet"]
DEVICES: tuple[Device | None, ...] = (None, *get_args(Device))
"""Position 0 is the unknown device."""
MOST_TRAITS = 8
"""Of one shopper."""
LONGEST_TRAIT = 80


def traits_of(attributes: object) -> list[str]:
    """`key=value` of every text, flag and whole number, sorted; lists give one per entry.

    attributes: decoded JSON. Whatever is nested deeper or long says nothing that customers share.
    """
    if not isinstance(attributes, Mapping):
        return []
    told = (
        f"{key}={_text(entry)}"
        for key, value in attributes.items()
        for entry in (value if isinstance(value, list) else [value])
        if isinstance(entry, str | bool | int) and entry != ""
    )
    return sorted({trait for trait in told if len(trait) <= LONGEST_TRAIT})


def _text(value: str | bool | int) -> str:
    return str(value).strip().lower()


def trait_rows(traits: Sequence[str], index: Mapping[str, int]) -> NDArray[np.int32]:
    """(MOST_TRAITS,): rows of the known ones, then 0."""
    rows = np.zeros(MOST_TRAITS, np.int32)
    known = [row for trait in traits if (row := index.get(trait))][:MOST_TRAITS]
    rows[: len(known)] = known
    return rows


def device_row(device: str | None) -> int:
    return DEVICES.index(device) if device in DEVICES else 0
