"""The model, but that it can be told to be slow or to answer nonsense."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import triton_python_backend_utils as triton  # pyright: ignore[reportMissingImports]

from ml.serving.messages import Answered, decode_reply, encode
from ml.serving.request import ScoredItem
from ml.serving.triton_model import Model

SLOW_S = {"slow": 2.0, "rather slow": 0.5}


class TritonPythonModel(Model):
    def _respond(self, request: Any) -> Any:  # noqa: ANN401
        said = Path(os.environ["AISLE_RELEASES"]).parent / "misbehaviour"
        way = said.read_text() if said.exists() else ""
        response = super()._respond(request)
        if not response.has_error():
            time.sleep(SLOW_S.get(way, 0))
        if way in SPOILED and not response.has_error():
            reply = response.output_tensors()[0].as_numpy()[0]
            spoiled = np.array(SPOILED[way](reply), dtype=np.object_)
            return triton.InferenceResponse([triton.Tensor("reply", spoiled)])
        return response


def scored(reply: bytes, score: float) -> list[bytes]:
    answered = decode_reply(reply)
    if not isinstance(answered, Answered):
        return [reply]
    items = [msgspec.structs.replace(item, score=score) for item in answered.answer.items]
    answer = msgspec.structs.replace(answered.answer, items=items)
    return [encode(msgspec.structs.replace(answered, answer=answer))]


def with_a_stranger(reply: bytes) -> list[bytes]:
    answered = decode_reply(reply)
    if not isinstance(answered, Answered):
        return [reply]
    stranger = ScoredItem(product_id="of another shop", score=0.5, reason="trending")
    answer = msgspec.structs.replace(answered.answer, items=[stranger])
    return [encode(msgspec.structs.replace(answered, answer=answer))]


SPOILED: dict[str, Callable[[bytes], list[bytes]]] = {
    "nan": lambda reply: scored(reply, float("nan")),
    "beyond one": lambda reply: scored(reply, 1.5),
    "stranger": with_a_stranger,
    "shape": lambda reply: [reply, reply],
    "empty": lambda _reply: [],
    "garbage": lambda _reply: [b"\xc1 no message"],
}
