"""Whether a Triton server answers: `python -m ml.serving.triton_alive [HOST:PORT]`.

Exit code 0 or 1. An inference through the model and no health endpoint, which says yes when the
model's process has died. Needs `tritonclient`.
"""

import sys
from importlib import import_module

import msgspec
import numpy as np

from ml.serving.messages import Alive, Ping, decode_reply, encode

DEFAULT_URL = "127.0.0.1:8001"
PATIENCE_S = 3.0


def is_alive(url: str = DEFAULT_URL, model: str = "recommend") -> bool:
    grpc = import_module("tritonclient.grpc")
    message = grpc.InferInput("message", [1], "BYTES")
    message.set_data_from_numpy(np.array([encode(Ping())], dtype=np.object_))
    with grpc.InferenceServerClient(url) as client:
        try:
            answer = client.infer(model, [message], client_timeout=PATIENCE_S)
            reply = decode_reply(answer.as_numpy("reply")[0])
        except (grpc.InferenceServerException, msgspec.DecodeError):
            return False
    return isinstance(reply, Alive)


if __name__ == "__main__":
    sys.exit(0 if is_alive(*sys.argv[1:2]) else 1)
