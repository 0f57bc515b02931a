"""The models of the Triton repository `ml/serving/triton`: thin adapters over `Responder`.

Each takes one message and gives one reply, as single elements of type BYTES. Where the releases
are, the environment says: AISLE_RELEASES, and AISLE_RELEASES_MB for how much may be in memory.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton  # pyright: ignore[reportMissingImports]

from ml.serving.request import EngineRequest
from ml.serving.responder import Responder

DEFAULT_CAPACITY_MB = 1024


class Model:
    """Of one kind of request; Triton makes one per instance and calls it from one thread."""

    serves: Callable[[EngineRequest], bool] = staticmethod(lambda _request: True)

    def initialize(self, _arguments: dict[str, str]) -> None:
        capacity_mb = int(os.environ.get("AISLE_RELEASES_MB", DEFAULT_CAPACITY_MB))
        self._responder = Responder(
            Path(os.environ["AISLE_RELEASES"]), self.serves, capacity_mb * 1024 * 1024
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def finalize(self) -> None:
        self._responder.close()

    def _respond(self, request: Any) -> Any:  # noqa: ANN401 - Triton's own types
        if request.is_cancelled():
            # Whoever asked has gone: the next one must not wait for this answer.
            return triton.InferenceResponse([], triton.TritonError("cancelled"))
        message = triton.get_input_tensor_by_name(request, "message").as_numpy()
        reply = self._responder.reply(message.reshape(-1)[0])
        return triton.InferenceResponse(
            [triton.Tensor("reply", np.array([reply], dtype=np.object_))]
        )
