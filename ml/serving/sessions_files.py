"""`Sessions` as files of a release, without pickle."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.release import ReleaseRejected
from ml.serving.arrays import read_arrays
from ml.serving.neighbours import Neighbours
from ml.serving.session_network import SessionNetwork
from ml.serving.session_tables import NOTHING, Mix, NeighbourSettings, Sessions

SESSIONS = "sessions.npz"
SESSION_MODEL = "session_model.onnx"
MOST_SAMPLED = 10_000
"""A release cannot ask for more work per request than this many visits."""


def save_sessions(sessions: Sessions, folder: Path) -> None:
    numbers = [sessions.serves, sessions.pause_s, *sessions.source, *sessions.champion]
    np.savez(
        folder / SESSIONS,
        numbers=np.array([*numbers, *sessions.settings], np.float64),
        visit_start=sessions.visit_start,
        visit_item=sessions.visit_item,
        item_start=sessions.item_start,
        item_click=sessions.item_click,
        rules_item=sessions.rules.item,
        rules_weight=sessions.rules.weight,
        vectors=sessions.vectors,
    )
    if sessions.network is not None:
        (folder / SESSION_MODEL).write_bytes(sessions.network.onnx)


def load_sessions(folder: Path, n_items: int) -> Sessions:
    """Raises ReleaseRejected for what does not fit together, and what is not finite."""
    arrays = read_arrays(folder / SESSIONS)
    numbers = [float(number) for number in arrays["numbers"]]
    visit_start, visit_item, item_start, item_click = (
        _integers(arrays[name])
        for name in ("visit_start", "visit_item", "item_start", "item_click")
    )
    rules = _neighbours(arrays["rules_item"], arrays["rules_weight"], n_items)
    vectors = np.asarray(arrays["vectors"], np.float32)
    if not visit_item.size:
        return NOTHING
    sound = len(numbers) == 15 and min(numbers) >= 0 and np.isfinite(numbers).all()
    _require(bool(sound), "settings")
    sampled, nearest, *floats = numbers[10:]
    _require(1 <= sampled <= MOST_SAMPLED and 1 <= nearest <= MOST_SAMPLED, "settings")
    _require_index(visit_start, visit_item, item_start, item_click, n_items)
    return Sessions(
        serves=bool(numbers[0]),
        pause_s=numbers[1],
        source=Mix(*numbers[2:6]),
        champion=Mix(*numbers[6:10]),
        settings=NeighbourSettings(int(sampled), int(nearest), *floats),
        visit_start=visit_start,
        visit_item=visit_item,
        item_start=item_start,
        item_click=item_click,
        click_visit=visits_of_clicks(visit_start),
        rules=rules,
        vectors=vectors,
        network=_network(folder, vectors, n_items),
    )


def visits_of_clicks(visit_start: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.repeat(np.arange(len(visit_start) - 1, dtype=np.int32), np.diff(visit_start))


def _network(folder: Path, vectors: NDArray[np.float32], n_items: int) -> SessionNetwork | None:
    if not vectors.size:
        return None
    sound = vectors.ndim == 2 and len(vectors) == n_items and np.isfinite(vectors).all()
    _require(bool(sound), "vectors")
    try:
        network = SessionNetwork((folder / SESSION_MODEL).read_bytes())
        answer = network.vector(vectors[:1])
    except Exception as error:
        raise ReleaseRejected(f"{SESSION_MODEL}: {error}") from error
    if answer.shape != (vectors.shape[1],) or not np.isfinite(answer).all():
        raise ReleaseRejected(f"{SESSION_MODEL} does not give a finite vector")
    return network


def _require_index(
    visit_start: NDArray[np.int32],
    visit_item: NDArray[np.int32],
    item_start: NDArray[np.int32],
    item_click: NDArray[np.int32],
    n_items: int,
) -> None:
    """Both directions name products and visits that exist, and agree with each other."""
    clicks = len(visit_item)
    for start, length in ((visit_start, None), (item_start, n_items + 1)):
        ends = start.size > 1 and start[0] == 0 and start[-1] == clicks
        _require(
            ends and length in {None, len(start)} and bool((np.diff(start) >= 0).all()), "index"
        )
    _require(len(item_click) == clicks and visit_item.min() >= 0, "index")
    _require(item_click.min() >= 0 and item_click.max() < clicks, "index")
    listed = np.repeat(np.arange(n_items), np.diff(item_start))
    _require(np.array_equal(visit_item[item_click], listed), "index")


def _integers(array: NDArray) -> NDArray[np.int32]:
    _require(array.ndim == 1 and array.dtype.kind == "i", "index")
    return array.astype(np.int32)


def _neighbours(index: NDArray, weight: NDArray, n_items: int) -> Neighbours:
    sound = index.shape == weight.shape and index.ndim == 2 and np.isfinite(weight).all()
    _require(bool(sound) and len(index) in {0, n_items}, "rules")
    _require(not index.size or (index.min() >= 0 and index.max() < n_items), "rules")
    return Neighbours(index.astype(np.int32), weight.astype(np.float32))


def _require(sound: bool, what: str) -> None:
    if not sound:
        raise ReleaseRejected(f"{SESSIONS}: the {what} cannot be right")
