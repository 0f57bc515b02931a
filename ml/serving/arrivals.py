"""Products that arrived after a release was made, added to it as ones that nobody has tried."""

import hashlib
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ml.serving.neighbours import Neighbours
from ml.serving.newcomers import LENDERS, dots, rows_of
from ml.serving.product_text import ProductText
from ml.serving.release import LoadedRelease
from ml.serving.sparse_rows import SparseRows
from ml.serving.tables import Tables
from ml.serving.vocabulary import Vocabulary, read_words


class Arrival(NamedTuple):
    product_id: str
    text: ProductText


class Arrivals(Struct, frozen=True):
    """In this order; equal ones have an equal token, and none the empty one."""

    products: list[Arrival]
    token: str


def listed_arrivals(products: list[Arrival]) -> Arrivals:
    if not products:
        return Arrivals([], "")
    digest = hashlib.blake2b(msgspec.msgpack.encode(products), digest_size=12)
    return Arrivals(products, digest.hexdigest())


def with_arrivals(release: LoadedRelease, arrivals: list[Arrival]) -> LoadedRelease:
    """The release with `arrivals` behind its own products; the release itself where it cannot.

    They are found by their words alone: as newcomers of `for-you`, and as anchors and answers of
    `similar`. What the release learned is shared with it, not copied.
    """
    vocabulary, words = release.tables.vocabulary, release.tables.words
    fresh = [arrival for arrival in arrivals if arrival.product_id not in release.index]
    if vocabulary is None or words is None or not fresh:
        return release
    return release.extended(_extend(release.tables, vocabulary, words, fresh))


def _extend(
    tables: Tables, vocabulary: Vocabulary, words: SparseRows, arrivals: list[Arrival]
) -> Tables:
    more = len(arrivals)
    read = read_words(vocabulary, [arrival.text for arrival in arrivals])
    return tables._replace(
        product_ids=[*tables.product_ids, *(arrival.product_id for arrival in arrivals)],
        department=_padded(tables.department, more),
        category=_padded(tables.category, more),
        brand=_padded(tables.brand, more),
        log_price=_padded(tables.log_price, more, np.nan),
        category_log_price=_padded(tables.category_log_price, more, np.nan),
        first_seen_s=_padded(tables.first_seen_s, more, tables.cut_s),
        trends=_padded(tables.trends, more),
        popularity=_padded(tables.popularity, more),
        market_trends=_padded(tables.market_trends.T, more).T,
        rebuy_rate=_padded(tables.rebuy_rate, more),
        rebuy_days=_padded(tables.rebuy_days, more),
        return_rate=_padded(tables.return_rate, more),
        content=_alike(tables.content, words, read, len(tables.product_ids)),
        words=SparseRows(
            np.concatenate([words.starts, words.starts[-1] + read.starts[1:]]),
            np.concatenate([words.column, read.column]),
            np.concatenate([words.weight, read.weight]),
        ),
    )


def _padded(values: NDArray, more: int, filling: float = 0) -> NDArray:
    """Along the first axis."""
    added = np.full((more, *values.shape[1:]), filling, values.dtype)
    return np.concatenate([values, added])


def _alike(content: Neighbours, words: SparseRows, read: SparseRows, n_known: int) -> Neighbours:
    """Neighbours of the known products, then those of the arrivals among the known ones."""
    width = content.item.shape[1]
    most = min(width, max(LENDERS, 1), n_known)
    n_terms = int(max(words.column.max(initial=-1), read.column.max(initial=-1))) + 1
    item = np.zeros((len(read.starts) - 1, width), content.item.dtype)
    weight = np.zeros(item.shape, np.float32)
    for row in range(len(item)):
        mine = rows_of(read, np.array([row]))
        spoken = np.bincount(mine.column, mine.weight, n_terms).astype(np.float32)
        likeness = dots(words, spoken)
        nearest = np.argsort(-likeness, kind="stable")[:most]
        item[row, :most], weight[row, :most] = nearest, np.maximum(likeness[nearest], 0)
    return Neighbours(
        np.concatenate([content.item, item]), np.concatenate([content.weight, weight])
    )
