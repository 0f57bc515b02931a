"""A release in memory: verified, loaded, ready to answer."""

import copy
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ml.release import Manifest, ReleaseRejected, verify_release
from ml.serving.candidate_features import CODE_FEATURES, DENSE_FEATURES
from ml.serving.networks import open_network
from ml.serving.newcomers import newcomers_of
from ml.serving.ranker import NETWORK, Ranker, load_edges
from ml.serving.request import Mode
from ml.serving.shopper import Shopper
from ml.serving.tables import Tables, position_index
from ml.serving.tables_files import load_tables
from ml.serving.traits import MOST_TRAITS

OWN_MODELS = "own-models"
UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, IndexError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, NotImplementedError, msgspec.DecodeError),
)
"""What readers raise over files that were made to be misread."""
TowerInputs = Mapping[str, NDArray[np.int64] | NDArray[np.float32]]
"""Name of each input of the query tower → its array."""
QUERY_TOWER = "query_tower.onnx"
TOWER_HISTORY = 20
"""Interactions the query tower looks at, newest first."""


class LoadedRelease:
    """Arrays and networks of one release; safe to use from several threads at once."""

    def __init__(
        self,
        manifest: Manifest,
        tables: Tables,
        query_tower: onnxruntime.InferenceSession | None,
        ranker: Ranker | None,
        nbytes: int,
    ) -> None:
        self.manifest = manifest
        self.nbytes = nbytes
        self.learned = position_index(tables.product_ids)
        """Products that the release learned from."""
        self.trait_index = {trait: row for row, trait in enumerate(tables.traits) if row}
        self.market_index = {market: row for row, market in enumerate(tables.markets)}
        self._query_tower = query_tower
        self._ranker = ranker
        self._describe(tables)

    def _describe(self, tables: Tables) -> None:
        self.tables = tables
        self.index = position_index(tables.product_ids)
        manifest = self.manifest
        self.worth_cents = tables.worth_cents() if manifest.objective == "net-revenue" else None
        """(items,) where lists are ordered by expected net revenue."""
        self.untried = tables.first_seen_s >= tables.cut_s
        self.newcomers = newcomers_of(tables, self.untried) if manifest.newcomers else None

    def extended(self, tables: Tables) -> "LoadedRelease":
        """The same networks over `tables`, which begin with the products of this release."""
        wider = copy.copy(self)
        wider._describe(tables)  # noqa: SLF001 - of its own class
        return wider

    @property
    def release_id(self) -> str:
        return self.manifest.release_id

    @property
    def product_ids(self) -> list[str]:
        return self.tables.product_ids

    @property
    def ranks(self) -> bool:
        """Whether a ranker is there to answer."""
        return self._ranker is not None and self.manifest.calibration is not None

    def champion(self, mode: Mode) -> str:
        """Who serves in this mode: own-models, or a classical order."""
        gate = self.manifest.metrics.gate
        return gate.champion if mode == "new" else gate.repeat_champion

    def query_vector(self, shopper: Shopper) -> NDArray[np.float32]:
        """(dim,), L2-normalised; (0,) where the release has no towers."""
        if self._query_tower is None:
            return np.zeros(0, np.float32)
        return np.asarray(self._query_tower.run(None, tower_inputs([shopper]))[0])[0]

    def rank(self, dense: NDArray[np.float32], codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Probability of each candidate: (candidates,)."""
        if self._ranker is None or self.manifest.calibration is None:
            raise ReleaseRejected("this release has no ranker")
        table = self.manifest.calibration
        logits = self._ranker.logits(dense, codes)
        return np.interp(logits, table.logits, table.probabilities).astype(np.float32)


def tower_inputs(shoppers: list[Shopper]) -> TowerInputs:
    """Inputs of the query tower for a batch: item 0 is padding, so positions are shifted by 1."""
    items = np.zeros((len(shoppers), TOWER_HISTORY), np.int64)
    kinds = np.zeros((len(shoppers), TOWER_HISTORY), np.int64)
    ages = np.zeros((len(shoppers), TOWER_HISTORY), np.float32)
    for row, shopper in enumerate(shoppers):
        length = min(len(shopper.items), TOWER_HISTORY)
        items[row, :length] = shopper.items[:length] + 1
        kinds[row, :length] = shopper.kinds[:length]
        ages[row, :length] = shopper.ages[:length]
    context = np.array([(s.hour, s.weekday, s.market, s.device) for s in shoppers], np.int64)
    traits = np.array([s.traits for s in shoppers], np.int64)
    return {
        "recent_items": items,
        "recent_ages": ages,
        "recent_kinds": kinds,
        "context": context.reshape(-1, 4),
        "traits": traits.reshape(-1, MOST_TRAITS),
    }


def load_release(folder: Path) -> LoadedRelease:
    """Verify every file, then load. Raises ReleaseRejected."""
    manifest = verify_release(folder)
    described = (tuple(manifest.dense_features), tuple(manifest.code_features))
    if described != (DENSE_FEATURES, CODE_FEATURES):
        raise ReleaseRejected("the ranker was trained on other features than this engine computes")
    try:
        tables = load_tables(folder)
        ranker = _ranker(folder)
    except UNREADABLE as error:
        raise ReleaseRejected(f"the tables cannot be read: {error}") from error
    return LoadedRelease(
        manifest=manifest,
        tables=tables,
        query_tower=_query_tower(folder),
        ranker=ranker,
        nbytes=sum(entry.size for entry in manifest.files.values()),
    )


def _ranker(folder: Path) -> Ranker | None:
    session = _session(folder / NETWORK)
    if session is None:
        return None
    wide, narrow = len(DENSE_FEATURES), len(CODE_FEATURES)
    require_inputs(NETWORK, session, {"dense": wide, "buckets": wide, "codes": narrow})
    return Ranker(session, load_edges(folder, wide))


def _query_tower(folder: Path) -> onnxruntime.InferenceSession | None:
    session = _session(folder / QUERY_TOWER)
    if session is not None:
        widths = {name: array.shape[1] for name, array in tower_inputs([]).items()}
        require_inputs(QUERY_TOWER, session, widths)
    return session


def require_inputs(
    name: str, session: onnxruntime.InferenceSession, widths: Mapping[str, int]
) -> None:
    """Exactly these inputs, of these widths where the network names one."""
    found = {entry.name: entry.shape for entry in session.get_inputs()}
    for wanted, width in widths.items():
        shape = found.pop(wanted, None)
        if shape is None or len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != width):
            raise ReleaseRejected(f"{name} does not take {wanted!r} as this engine gives it")
    if found:
        raise ReleaseRejected(f"{name} wants {min(found)!r}, which this engine does not give")


def _session(path: Path) -> onnxruntime.InferenceSession | None:
    if not path.exists():
        return None
    try:
        return open_network(str(path))
    except Exception as error:
        raise ReleaseRejected(f"{path.name}: {error}") from error
