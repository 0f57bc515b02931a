"""The ranker of a release: raw features of candidates to logits."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ml.release import ReleaseRejected
from ml.serving.buckets import bucketise

NETWORK = "ranker.onnx"
EDGES = "ranker_edges.npy"
"""Of the buckets that `ranker.onnx` looks vectors up by: float32 (F, bins - 1)."""


class Ranker:
    """Safe to use from several threads at once."""

    def __init__(self, session: onnxruntime.InferenceSession, edges: NDArray[np.float32]) -> None:
        self._session = session
        self._edges = edges

    def logits(self, dense: NDArray[np.float32], codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, F) and (n, C) to (n,), higher is better; unknown codes are treated as 0."""
        inputs = {"dense": dense, "buckets": bucketise(dense, self._edges), "codes": codes}
        return np.asarray(self._session.run(None, inputs)[0])


def load_edges(folder: Path, features: int) -> NDArray[np.float32]:
    """Raises ReleaseRejected unless they are finite and ascend for each of the features."""
    edges = np.load(folder / EDGES, allow_pickle=False)
    sound = edges.ndim == 2 and edges.shape[0] == features and edges.shape[1] <= 255
    if not sound or not np.isfinite(edges).all() or (np.diff(edges, axis=1) < 0).any():
        raise ReleaseRejected(f"{EDGES} does not hold ascending numbers for {features} features")
    return np.ascontiguousarray(edges, np.float32)
