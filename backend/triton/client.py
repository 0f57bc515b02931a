"""Messages to one model of a Triton server, over gRPC."""

import struct
from importlib import import_module
from typing import Any

import numpy as np

from backend.inference import InferenceUnavailable
from backend.settings import MissingSetting

MODEL = "recommend"
CHANNEL = [
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.keepalive_time_ms", 30_000),
    # A server that comes back is found within a second, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


class TritonClient:
    """One per process, for its lifetime. Must be made inside the event loop that uses it."""

    def __init__(self, url: str) -> None:
        """url: host:port. Raises MissingSetting where the client's library is missing."""
        try:
            self._grpc: Any = import_module("tritonclient.grpc.aio")
        except ModuleNotFoundError as error:
            raise MissingSetting(
                "AISLE_INFERENCE=triton needs the extra `triton`: pip install 'aisle[triton]'"
            ) from error
        self._client = self._grpc.InferenceServerClient(url, channel_args=CHANNEL)

    async def send(self, message: bytes) -> bytes:
        """The reply, whatever it says. Raises InferenceUnavailable. Cancelling cancels it there."""
        sent = self._grpc.InferInput("message", [1], "BYTES")
        sent.set_data_from_numpy(np.array([message], dtype=np.object_))
        try:
            answer = await self._client.infer(MODEL, [sent])
            reply = answer.as_numpy("reply")
        except self._grpc.InferenceServerException as error:
            raise InferenceUnavailable(f"Triton: {error}") from error
        except (ValueError, struct.error) as error:
            raise InferenceUnavailable(f"Triton's answer cannot be read: {error}") from error
        if reply is None or reply.size != 1 or not isinstance(reply.flat[0], bytes):
            raise InferenceUnavailable("Triton's answer is of another shape or type")
        return reply.flat[0]

    async def close(self) -> None:
        await self._client.close()
