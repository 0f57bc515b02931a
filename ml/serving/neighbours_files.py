"""Neighbours as files of a release that stay on disk: their pages are read when they are needed.

Processes on one machine share the pages, and the system may drop them: a release takes little
memory of its own.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.release import ReleaseRejected
from ml.serving.neighbours import Neighbours


def file_names(kind: str) -> tuple[str, str]:
    """Of positions and of weights."""
    return f"{kind}_items.npy", f"{kind}_weights.npy"


def save_neighbours(neighbours: Neighbours, kind: str, folder: Path) -> None:
    """Positions in as few bytes as they need."""
    items, weights = file_names(kind)
    position = np.min_scalar_type(max(len(neighbours.item) - 1, 0))
    np.save(folder / items, neighbours.item.astype(position))
    np.save(folder / weights, neighbours.weight.astype(np.float32))


def load_neighbours(kind: str, folder: Path, n: int) -> Neighbours:
    """n: products. Raises ReleaseRejected."""
    items, weights = file_names(kind)
    item, weight = mapped(folder / items), mapped(folder / weights)
    sound = item.shape == weight.shape and item.ndim == 2 and len(item) == n
    if not sound or not np.issubdtype(item.dtype, np.integer) or weight.dtype != np.float32:
        raise ReleaseRejected(f"{items} does not hold one row of neighbours per product")
    if not np.isfinite(weight).all():
        raise ReleaseRejected(f"{weights} holds what is no number")
    if item.size and not (item.min() >= 0 and item.max() < n):
        raise ReleaseRejected(f"{items} names products that do not exist")
    return Neighbours(item, weight)


def mapped(path: Path) -> NDArray[Any]:
    """An array whose data stays in its file. Raises ValueError for a file that is none."""
    return np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"))
