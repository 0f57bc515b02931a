"""The session network: from the vectors of a visit's products to one vector, by onnxruntime."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray

NETWORK_CLICKS = 10
"""Last steps of a visit that the network looks at."""


class SessionNetwork:
    """Safe to use from several threads at once."""

    def __init__(self, onnx: bytes) -> None:
        """Raises what onnxruntime raises for bytes that are no network."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.onnx = onnx
        self._session = onnxruntime.InferenceSession(
            onnx, sess_options=options, providers=["CPUExecutionProvider"]
        )

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
