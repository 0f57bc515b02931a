"""The words of a product, and what they are as a vector; numpy alone, so that serving may use it.

No stemming and no list of stop words: parts of words stand in for the first, inverse frequency for
the second, and scripts without spaces are read by pairs of characters. So every language works,
some better than others.
"""

import re
import unicodedata
from collections import defaultdict
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.serving.encoding import CATEGORY_SEPARATOR

LONGEST_DESCRIPTION = 2_000
"""Characters that are read."""
PART = 4
"""Characters of a part of a word."""
PARTS_WEIGHT = 0.5
"""Of all parts of a word together, beside 1 for the word."""
DESCRIPTION_WEIGHT = 0.4
MOST_ATTRIBUTES = 20

WORD = re.compile(r"\w+")
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
"""Scripts written without spaces: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
MARKS = re.compile("[\u0300-\u036f]")
"""Accents; not those of Japanese, which make another syllable."""
STROKES = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "\u0131": "i", "æ": "ae", "œ": "oe", "ー": None}
)


class ProductText(NamedTuple):
    title: str
    description: str | None = None
    category: str | None = None
    """Levels from wide to narrow, `>` between them."""
    brand: str | None = None
    attributes: str | None = None
    """A JSON object; anything else is read as nothing."""


def normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)


def weighted_terms(product: ProductText) -> dict[str, float]:
    """Each term of a product and its weight; a repeated one counts by its logarithm."""
    counts: dict[str, float] = defaultdict(float)
    for word in words(product.title):
        _count_word(word, counts)
    for word in words((product.description or "")[:LONGEST_DESCRIPTION]):
        counts[f"w:{word}"] += DESCRIPTION_WEIGHT
    for level in (product.category or "").split(CATEGORY_SEPARATOR):
        if level.strip():
            counts[f"c:{folded(level)}"] += 1
    if product.brand:
        counts[f"b:{folded(product.brand)}"] += 1
    for attribute in _attributes(product.attributes):
        counts[f"a:{attribute}"] += 1
    return {term: count if count <= 1 else 1 + np.log(count) for term, count in counts.items()}


def words(text: str) -> list[str]:
    """Folded words in their order; runs of scripts without spaces as pairs of characters."""
    found: list[str] = []
    for word in WORD.findall(folded(text)):
        end = 0
        for run in UNSPACED.finditer(word):
            found += [word[end : run.start()]] if run.start() > end else []
            characters = run.group()
            found += [characters[k : k + 2] for k in range(max(1, len(characters) - 1))]
            end = run.end()
        if end < len(word):
            found.append(word[end:])
    return found


def folded(text: str) -> str:
    """Without case, accents and differences of width, outer and repeated spaces."""
    wide = unicodedata.normalize("NFKD", text.casefold())
    plain = unicodedata.normalize("NFC", MARKS.sub("", wide)).translate(STROKES)
    return " ".join(plain.split())


def _count_word(word: str, counts: dict[str, float]) -> None:
    """The word, and its parts: they find the Fahrrad in a Kinderfahrrad."""
    counts[f"w:{word}"] += 1
    if len(word) <= PART or word.isdigit():
        return
    edged = f"_{word}_"
    parts = [edged[k : k + PART] for k in range(len(edged) - PART + 1)]
    for part in parts:
        counts[f"p:{part}"] += PARTS_WEIGHT / len(parts) ** 0.5


def _attributes(attributes: str | None) -> list[str]:
    """`name=value` of the plain values of an object."""
    try:
        decoded = msgspec.json.decode(attributes or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError):
        return []
    if not isinstance(decoded, dict):
        return []
    plain = [
        (name, v) for name, v in decoded.items() if isinstance(v, str | int | bool) and v != ""
    ]
    return [f"{folded(str(name))}={folded(str(value))}" for name, value in plain[:MOST_ATTRIBUTES]]
