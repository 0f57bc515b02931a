"""The session network: from the vectors of a visit's products to one vector, by onnxruntime."""

import numpy as np
from numpy.typing import NDArray

from ml.serving.networks import open_network

NETWORK_CLICKS = 10
"""Last steps of a visit that the network looks at."""


class SessionNetwork:
    """Safe to use from several threads at once."""

    def __init__(self, onnx: bytes) -> None:
        """Raises what onnxruntime raises for bytes that are no network."""
        self.onnx = onnx
        self._session = open_network(onnx)

    def vector(self, clicked: NDArray[np.float32]) -> NDArray[np.float32]:
        """(dim,): its product with the vector of a product is that product's logit.

        clicked: (clicks, dim), vectors of the steps of a visit, newest first, at least one.
        """
        clicked = clicked[:NETWORK_CLICKS]
        clicks = np.zeros((1, NETWORK_CLICKS, clicked.shape[1]), np.float32)
        clicks[0, : len(clicked)] = clicked
        known = np.zeros((1, NETWORK_CLICKS), np.float32)
        known[0, : len(clicked)] = 1
        return np.asarray(self._session.run(None, {"clicks": clicks, "known": known})[0])[0]
