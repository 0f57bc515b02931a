"""`Tables` as files of a release, without pickle."""

from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from ml.interactions import KIND_WEIGHT, KINDS
from ml.release import ReleaseRejected
from ml.serving.arrays import read_arrays, require_codes
from ml.serving.neighbours_files import load_neighbours, mapped, save_neighbours
from ml.serving.sessions_files import load_sessions, save_sessions
from ml.serving.sources import SOURCES
from ml.serving.sparse_rows import SparseRows
from ml.serving.tables import Tables
from ml.serving.vocabulary import Vocabulary

ITEMS = "items.msgpack"
WORDS = "words.npz"
VOCABULARY = "vocabulary.msgpack"
LARGEST_WEIGHT = 10.0
NEIGHBOURS = ("co_purchase", "ease", "content")
"""Fields of `Tables`."""
MOST_CODES = 1 << 24
"""Categories, departments or brands."""


class Items(Struct, frozen=True, kw_only=True):
    """`items.msgpack`."""

    cut_s: int
    product_ids: list[str]
    markets: list[str]
    candidates: dict[str, int]
    traits: list[str]
    kind_weight: dict[str, float] | None = None
    """By kind of event; releases from before shops chose have none, and the usual ones count."""


class Terms(Struct, frozen=True, kw_only=True):
    """`vocabulary.msgpack`."""

    terms: list[str]
    columns: list[int]
    rarity: bytes
    """Little-endian float32 of every column."""


class Popularity(Struct, frozen=True, kw_only=True):
    """`popularity.msgpack`: little-endian float32, row by row."""

    trends: bytes
    popularity: bytes
    market_trends: bytes


def save_tables(tables: Tables, folder: Path) -> None:
    items = Items(
        cut_s=tables.cut_s,
        product_ids=tables.product_ids,
        markets=tables.markets,
        candidates=dict(tables.candidates),
        traits=list(tables.traits),
        kind_weight=dict(zip(KINDS, tables.kind_weight.tolist(), strict=True)),
    )
    (folder / ITEMS).write_bytes(msgspec.msgpack.encode(items))
    popularity = Popularity(
        trends=tables.trends.astype("<f4").tobytes(),
        popularity=tables.popularity.astype("<f4").tobytes(),
        market_trends=tables.market_trends.astype("<f4").tobytes(),
    )
    (folder / "popularity.msgpack").write_bytes(msgspec.msgpack.encode(popularity))
    codes = [tables.department, tables.category, tables.brand]
    np.save(folder / "item_codes.npy", np.stack(codes, axis=1).astype(np.int32))
    seen = tables.first_seen_s.astype(np.float64)
    features = [
        tables.log_price,
        tables.category_log_price,
        seen,
        tables.rebuy_rate,
        tables.rebuy_days,
        tables.return_rate,
    ]
    np.save(folder / "item_features.npy", np.stack(features, axis=1).astype(np.float64))
    np.save(folder / "item_vectors.npy", tables.item_vectors)
    for kind in NEIGHBOURS:
        save_neighbours(getattr(tables, kind), kind, folder)
    save_sessions(tables.sessions, folder)
    if tables.words is not None:
        np.savez(folder / WORDS, **tables.words._asdict())
    if tables.vocabulary is not None:
        terms = sorted(tables.vocabulary.column, key=tables.vocabulary.column.__getitem__)
        known = Terms(
            terms=terms,
            columns=[tables.vocabulary.column[term] for term in terms],
            rarity=tables.vocabulary.rarity.astype("<f4").tobytes(),
        )
        (folder / VOCABULARY).write_bytes(msgspec.msgpack.encode(known))


def load_tables(folder: Path) -> Tables:
    """Raises ReleaseRejected for shapes that disagree and for numbers that are not finite."""
    items = msgspec.msgpack.decode((folder / ITEMS).read_bytes(), type=Items)
    n = len(items.product_ids)
    popularity = msgspec.msgpack.decode(
        (folder / "popularity.msgpack").read_bytes(), type=Popularity
    )
    codes = np.load(folder / "item_codes.npy", allow_pickle=False)
    features = np.load(folder / "item_features.npy", allow_pickle=False)
    vectors = mapped(folder / "item_vectors.npy")
    if len(set(items.product_ids)) != n:
        raise ReleaseRejected("items.msgpack names a product twice")
    co_purchase, ease, content = (load_neighbours(kind, folder, n) for kind in NEIGHBOURS)
    for name, array, width in (("codes", codes, 3), ("features", features, 6)):
        if array.shape != (n, width):
            raise ReleaseRejected(f"item_{name}.npy has shape {array.shape}, not {(n, width)}")
    require_codes("item_codes.npy", codes, MOST_CODES)
    # A price may be unknown, and nothing else.
    if np.isinf(features[:, :2]).any() or not np.isfinite(features[:, 2:]).all():
        raise ReleaseRejected("item_features.npy holds numbers that are none")
    if vectors.dtype.kind != "f":
        raise ReleaseRejected("item_vectors.npy does not hold numbers")
    if vectors.ndim != 2 or len(vectors) != n or not np.isfinite(vectors).all():
        raise ReleaseRejected("item_vectors.npy is not one finite row per product")
    if items.candidates.keys() != set(SOURCES):
        raise ReleaseRejected("items.msgpack names other candidate sources than this engine has")
    return Tables(
        cut_s=items.cut_s,
        product_ids=items.product_ids,
        markets=items.markets,
        department=codes[:, 0].copy(),
        category=codes[:, 1].copy(),
        brand=codes[:, 2].copy(),
        log_price=features[:, 0].astype(np.float32),
        category_log_price=features[:, 1].astype(np.float32),
        first_seen_s=features[:, 2].astype(np.int64),
        trends=_floats(popularity.trends, (n, 4)),
        popularity=_floats(popularity.popularity, (n, 1))[:, 0],
        market_trends=_floats(popularity.market_trends, (len(items.markets), n)),
        rebuy_rate=features[:, 3].astype(np.float32),
        rebuy_days=features[:, 4].astype(np.float32),
        return_rate=features[:, 5].astype(np.float32),
        co_purchase=co_purchase,
        ease=ease,
        content=content,
        candidates=items.candidates,
        item_vectors=np.ascontiguousarray(vectors, np.float32),
        sessions=load_sessions(folder, n),
        traits=items.traits,
        words=_words(folder / WORDS, n),
        vocabulary=_vocabulary(folder / VOCABULARY),
        kind_weight=_kind_weight(items.kind_weight),
    )


def _floats(raw: bytes, shape: tuple[int, int]) -> np.ndarray:
    array = np.frombuffer(raw, "<f4")
    if array.size != shape[0] * shape[1] or not np.isfinite(array).all():
        raise ReleaseRejected("popularity.msgpack does not hold finite numbers of every product")
    return array.reshape(shape)


def _vocabulary(path: Path) -> Vocabulary | None:
    if not path.exists():
        return None
    known = msgspec.msgpack.decode(path.read_bytes(), type=Terms)
    rarity = np.frombuffer(known.rarity, "<f4")
    inside = all(0 <= column < len(rarity) for column in known.columns)
    if not inside or len(known.columns) != len(known.terms) or not np.isfinite(rarity).all():
        raise ReleaseRejected(f"{VOCABULARY} does not hold one finite number per term")
    return Vocabulary(dict(zip(known.terms, known.columns, strict=True)), rarity)


def _kind_weight(by_kind: dict[str, float] | None) -> np.ndarray:
    """No kind may change sides: what speaks for a product elsewhere speaks for it here."""
    if by_kind is None:
        return KIND_WEIGHT
    if by_kind.keys() != set(KINDS):
        raise ReleaseRejected("items.msgpack weighs other kinds of events than this engine knows")
    given = np.array([by_kind[kind] for kind in KINDS])
    weight = np.clip(given, -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.float32)
    same_side = np.sign(weight) == np.sign(KIND_WEIGHT)  # false for what is no number
    if not same_side.all() or np.abs(given).max() > LARGEST_WEIGHT:
        raise ReleaseRejected("items.msgpack holds unsound weights of kinds of events")
    return weight


def _words(path: Path, n: int) -> SparseRows | None:
    if not path.exists():
        return None
    arrays = read_arrays(path)
    rows = SparseRows(*(arrays[name] for name in SparseRows._fields))
    entries = rows.starts[-1] if len(rows.starts) == n + 1 else -1
    sound = (np.diff(rows.starts) >= 0).all() and np.isfinite(rows.weight).all()
    if not sound or rows.starts[0] or not (entries == len(rows.column) == len(rows.weight)):
        raise ReleaseRejected("words.npz does not hold one row of every product")
    if entries and rows.column.min() < 0:
        raise ReleaseRejected("words.npz names a term that does not exist")
    return rows
