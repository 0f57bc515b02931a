"""What a process that holds no release asks one that does, and the answers: MessagePack both ways.

Every field of an `EngineRequest` travels, whichever there are; arrays as type, shape and bytes.
"""

import math
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ml.serving.arrivals import Arrivals
from ml.serving.request import EngineAnswer, EngineRequest

Failure = Literal["bad-request", "unknown-product", "cold", "unusable", "failed"]
PLAIN_KINDS = "biuf"
"""Kinds of arrays that hold numbers alone."""
MOST_ELEMENTS = 10_000_000


class Ask(Struct, frozen=True, kw_only=True, tag=True):
    """Recommend. The mask may end before or after the products that the other side knows."""

    tenant: str
    release: str
    request: EngineRequest
    arrivals: str = ""
    """Token of the arrivals that the mask goes on with, behind the release's own products."""
    patience_ms: int = 0
    """How long the release may take to load before the answer is `cold`."""


class Widen(Struct, frozen=True, kw_only=True, tag=True):
    """Take in products that arrived after the release. Answered at once; safe to repeat."""

    tenant: str
    release: str
    arrivals: Arrivals


class Ping(Struct, frozen=True, tag=True):
    """Whether anybody is there."""


Message = Ask | Widen | Ping


class Answered(Struct, frozen=True, kw_only=True, tag=True):
    answer: EngineAnswer
    arrivals: str
    """Token of the arrivals that are known by now, whether or not they count in this answer."""


class Told(Struct, frozen=True, kw_only=True, tag=True):
    """To `Widen`: the arrivals known by now, which are the ones told only after a moment."""

    arrivals: str


class Alive(Struct, frozen=True, kw_only=True, tag=True):
    engine_version: int
    releases: int
    """How many are in memory."""


class Failed(Struct, frozen=True, kw_only=True, tag=True):
    """cold: ask again later. unusable: the release is broken. failed: the engine's own mistake."""

    failure: Failure
    detail: str


Reply = Answered | Told | Alive | Failed


class _Array(Struct, frozen=True, array_like=True):
    kind: str
    shape: list[int]
    data: bytes


def _pack(value: Any) -> Any:  # noqa: ANN401 - msgspec hands over whatever it does not know
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(type(value))
    data = np.packbits(value) if value.dtype == np.bool_ else np.ascontiguousarray(value)
    return _Array(value.dtype.str, list(value.shape), data.tobytes())


def _unpack(kind: Any, value: Any) -> NDArray[Any]:  # noqa: ANN401
    if getattr(kind, "__origin__", kind) is not np.ndarray:
        raise NotImplementedError(kind)
    packed = msgspec.convert(value, _Array)
    count = math.prod(packed.shape)
    try:
        dtype = np.dtype(packed.kind)
    except TypeError as error:
        raise ValueError("an array is of an unknown type") from error
    if dtype.kind not in PLAIN_KINDS or not 0 <= count <= MOST_ELEMENTS:
        raise ValueError("an array holds no plain numbers, or too many")
    if dtype != np.bool_:
        return np.frombuffer(packed.data, dtype).reshape(packed.shape)
    bits = np.frombuffer(packed.data, np.uint8)
    if bits.size != (count + 7) // 8:
        raise ValueError("an array has another size than it says")
    return np.unpackbits(bits, count=count).view(np.bool_).reshape(packed.shape)


_encoder = msgspec.msgpack.Encoder(enc_hook=_pack)
_messages = msgspec.msgpack.Decoder(Message, dec_hook=_unpack)
_replies = msgspec.msgpack.Decoder(Reply)


def encode(what: Message | Reply) -> bytes:
    return _encoder.encode(what)


def decode_message(data: bytes) -> Message:
    """Raises msgspec.DecodeError, or what its ValidationError stems from."""
    return _messages.decode(data)


def decode_reply(data: bytes) -> Reply:
    """Raises msgspec.DecodeError."""
    return _replies.decode(data)
