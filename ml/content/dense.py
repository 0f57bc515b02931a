"""All that is known of the content of products, as the dense inputs of the item tower."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.content.sentences import EncoderFailed, encode_sentences
from ml.content.text import DIM, TextSpace
from ml.serving.product_text import ProductText, normalised


class Described(NamedTuple):
    vectors: NDArray[np.float32]
    """(products, width): words, then sentences where there is an encoder."""
    said: str
    """Which encoders were used, or why one was not."""


def describe_content(
    texts: list[ProductText], space: TextSpace, encoder: Path | None, cache: Path | None
) -> Described:
    """Whatever happens to an optional encoder, there are vectors.

    encoder: interpreter of the sentence encoder. cache: folder of one tenant.
    """
    if encoder is None:
        return Described(space.vectors, "Words only: no text encoder is configured.")
    try:
        sentences = encode_sentences(encoder, texts, cache)
    except EncoderFailed as error:
        return Described(space.vectors, f"Words only: {error}.")
    vectors = np.concatenate([space.vectors, _principal(sentences, DIM)], axis=1)
    return Described(vectors, "Words and sentences.")


def _principal(vectors: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """(rows, dim): directions of the largest variance, rows of length 1; short of rows, zeros."""
    centred = vectors - vectors.mean(axis=0, keepdims=True)
    _, axes = np.linalg.eigh(centred.T @ centred)
    reduced = centred @ axes[:, ::-1][:, :dim]
    filled = np.zeros((len(vectors), dim), np.float32)
    filled[:, : reduced.shape[1]] = reduced
    return normalised(filled)
