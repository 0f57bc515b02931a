"""All that is known of the content of products, as the dense inputs of the item tower."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.content.encoder import EncoderFailed
from ml.content.images import Pictures
from ml.content.sentences import encode_sentences
from ml.content.text import DIM, TextSpace
from ml.serving.product_text import ProductText, normalised


class Described(NamedTuple):
    vectors: NDArray[np.float32]
    """(products, width): words, then sentences and pictures where there is an encoder."""
    said: str
    """Which encoders were used, or why one was not."""


def describe_content(
    texts: list[ProductText],
    space: TextSpace,
    encoder: Path | None,
    cache: Path | None,
    take_pictures: Callable[[], Pictures] | None = None,
) -> Described:
    """Whatever happens to an optional encoder, there are vectors.

    encoder: interpreter of the sentence encoder. cache: folder of one tenant. take_pictures:
    `encode_images` where there is an image encoder.
    """
    vectors, kinds, failures = [space.vectors], ["Words"], list[str]()
    if encoder:
        try:
            vectors.append(_principal(encode_sentences(encoder, texts, cache), DIM))
            kinds.append("sentences")
        except EncoderFailed as error:
            failures.append(str(error))
    if take_pictures:
        try:
            pictures = take_pictures()
            shown = np.zeros((len(texts), DIM), np.float32)
            shown[pictures.shown] = _principal(pictures.vectors[pictures.shown], DIM)
            vectors.append(shown)
            kinds.append(pictures.said)
        except EncoderFailed as error:
            failures.append(str(error))
    if not encoder and not take_pictures:
        failures.append("no encoder is configured")
    return Described(np.concatenate(vectors, axis=1), _said(kinds, failures))


def _said(kinds: list[str], failures: list[str]) -> str:
    *before, last = kinds
    listed = f"{', '.join(before)} and {last}" if before else f"{last} only"
    return f"{listed}{': ' * bool(failures)}{'; '.join(failures)}."


def _principal(vectors: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """(rows, dim): directions of the largest variance, rows of length 1; short of rows, zeros."""
    centred = vectors - vectors.mean(axis=0, keepdims=True)
    _, axes = np.linalg.eigh(centred.T @ centred)
    reduced = centred @ axes[:, ::-1][:, :dim]
    filled = np.zeros((len(vectors), dim), np.float32)
    filled[:, : reduced.shape[1]] = reduced
    return normalised(filled)
