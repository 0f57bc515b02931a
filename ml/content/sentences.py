"""Product texts through an optional sentence encoder, which runs in an environment of its own."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.content.encoder import EncoderFailed
from ml.content.vector_cache import cached_vectors, content_hash
from ml.serving.product_text import ProductText

SCRIPT = Path(__file__).with_name("encode_text.py")
LIMIT_S = 600.0
VERSION_LIMIT_S = 60.0
LONGEST_SENTENCE = 1_000
"""Characters; the encoder reads about 250 words."""


def encode_sentences(
    python: Path, texts: list[ProductText], cache: Path | None, limit_s: float = LIMIT_S
) -> NDArray[np.float32]:
    """(products, dim), L2-normalised by the encoder. Raises EncoderFailed.

    python: the interpreter of the encoder's environment. cache: folder of one tenant.
    """
    sentences = [sentence_of(text) for text in texts]
    name = _run([str(python), str(SCRIPT), "--version"], VERSION_LIMIT_S).strip()
    if not name or "/" in name or name.startswith("."):
        raise EncoderFailed(f"{python} gives its encoder no proper name")
    return cached_vectors(
        cache / f"{name}.npz" if cache else None,
        [content_hash(sentence.encode()) for sentence in sentences],
        lambda places: _encode(python, [sentences[place] for place in places], limit_s),
    )


def sentence_of(text: ProductText) -> str:
    parts = [text.title, text.brand, text.category, text.description]
    return ". ".join(part for part in parts if part)[:LONGEST_SENTENCE]


def _encode(python: Path, sentences: list[str], limit_s: float) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.parquet", Path(folder) / "out.parquet"
        pq.write_table(pa.table({"text": pa.array(sentences, pa.string())}), given)
        _run([str(python), str(SCRIPT), str(given), str(made)], limit_s)
        try:
            rows = pq.read_table(made)["vector"].to_pylist()
            vectors = np.array(rows, np.float32)
        except (OSError, KeyError, ValueError, pa.ArrowInvalid) as error:
            raise EncoderFailed(f"the text encoder left no readable vectors: {error}") from error
    if vectors.ndim != 2 or len(vectors) != len(sentences) or not np.isfinite(vectors).all():
        raise EncoderFailed(
            f"the text encoder left vectors of shape {vectors.shape} for {len(sentences)} texts"
        )
    return vectors


def _run(command: list[str], limit_s: float) -> str:
    try:
        ended = subprocess.run(  # noqa: S603 - the operator configured the interpreter
            command, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EncoderFailed(f"the text encoder took longer than {limit_s:g} s") from error
    except OSError as error:
        raise EncoderFailed(f"the text encoder cannot be started: {error}") from error
    if ended.returncode:
        last = ended.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise EncoderFailed(f"the text encoder ended with {ended.returncode}: {last[0][:300]}")
    return ended.stdout
