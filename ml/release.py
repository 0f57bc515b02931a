"""A release: an immutable folder of files, complete once its manifest is there.

`manifest.json` is written last and names every file with size and SHA-256. Nothing is trusted
before `verify_release` has read it: names stay inside the folder, sizes under a cap, hashes equal.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

Objective = Literal["auto", "click", "order", "net-revenue"]
"""What a shop wants more of; auto is the strongest kind of event there is enough of."""
MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
ENGINE_VERSION = 5
LARGEST_FILE_BYTES = 1 << 30
LARGEST_MANIFEST_BYTES = 1 << 20
FILES = frozenset(
    {
        "golden.json",
        "item_codes.npy",
        "item_features.npy",
        "item_vectors.npy",
        "items.msgpack",
        "co_purchase_items.npy",
        "co_purchase_weights.npy",
        "content_items.npy",
        "content_weights.npy",
        "ease_items.npy",
        "ease_weights.npy",
        "popularity.msgpack",
        "query_tower.onnx",
        "ranker.onnx",
        "ranker_edges.npy",
        "session_model.onnx",
        "sessions.npz",
        "towers.npz",
        "vocabulary.msgpack",
        "words.npz",
        "item_tower.onnx",
    }
)


class ReleaseRejected(Exception):
    """The folder is no sound release; the message says which file and why."""


class FileEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sha256: str
    size: int


class Snapshot(Struct, frozen=True, kw_only=True):
    """What the release was learned from."""

    products: int
    shoppers: int
    events: int
    unknown_events: int
    first_event_s: int
    cut_s: int
    """Events at or after this Unix time were not seen."""


class Score(Struct, frozen=True, kw_only=True):
    """One row of the comparison on the shop's own validation weeks."""

    name: str
    ndcg: float
    recall: float
    coverage: float
    lift: float | None = None
    """NDCG@20 of own models over this row's: 0.31 is 31 % better. None in their own row."""
    lift_low: float | None = None
    lift_high: float | None = None
    """95 % interval of `lift`, paired by shopper."""


class Gate(Struct, frozen=True, kw_only=True):
    """Whether the own models may serve, and on what evidence."""

    passed: bool
    verdict: str
    """One plain sentence for the merchant."""
    champion: str
    """Who serves new products: own-models, or the best classical order."""
    repeat_champion: str
    """Who serves when bought products may come again."""
    shoppers: int
    """Shoppers whose later purchases were predicted."""
    keeps_parent: bool = False
    """The release in service is better and stays."""
    baseline: str = ""
    lift: float | None = None
    """NDCG@20 of own models against `baseline`: 0.31 is 31 % better."""
    lift_low: float | None = None
    lift_high: float | None = None
    """95 % interval of `lift` by paired bootstrap over shoppers."""
    scores: list[Score] = []


class SessionScore(Struct, frozen=True, kw_only=True):
    """One row of the comparison on the later visits: the next product among the first 20."""

    name: str
    hit: float
    mrr: float


class SessionContest(Struct, frozen=True, kw_only=True):
    """Which method answers anonymous visits, and on what evidence."""

    champion: str
    """Empty where no method beat what is trending and item-kNN, or there was nothing to judge."""
    serves: bool
    """Whether anonymous visits are answered by it; it is a source of candidates anyway."""
    steps: int
    """Choices in later visits that were predicted."""
    scores: list[SessionScore]


class Tried(Struct, frozen=True, kw_only=True):
    """One of several ways that were compared on the shop's own earlier weeks."""

    name: str
    figure: float
    """Mean over shoppers of what was compared."""
    lead: float
    """Mean over shoppers of how much better than the usual way it was; 0 is the usual way's."""
    error: float
    """Standard error of `lead`."""


class SignalChoice(Struct, frozen=True, kw_only=True):
    """How much one event of each kind speaks for its product, and why so."""

    chosen: str
    weights: dict[str, float]
    """By kind of event, those that say nothing left out."""
    shoppers: int = 0
    """Whose later choices were predicted; 0 where there was nothing to compare."""
    tried: list[Tried] = []
    """`figure` is NDCG@20 of simple methods, by weights; the usual ones first."""


class RankerChoice(Struct, frozen=True, kw_only=True):
    """Which size and pace of ranker was trained, and why so."""

    chosen: str
    shoppers: int = 0
    """Whose later choices were predicted; 0 where there was nothing to compare."""
    tried: list[Tried] = []
    """`figure` is NDCG@20 of each ranker's order; the usual one first."""


class Metrics(Struct, frozen=True, kw_only=True):
    gate: Gate
    signals: SignalChoice | None = None
    sessions: SessionContest | None = None
    ranker: dict[str, float] = {}
    ranker_choice: RankerChoice | None = None
    towers: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    content: str = ""
    """What the vectors of products were made of, and why an encoder was not used."""


class Calibration(Struct, frozen=True, kw_only=True):
    """Piecewise-linear map from logit to probability; `logits` ascend."""

    logits: list[float]
    probabilities: list[float]


class Blend(Struct, frozen=True, kw_only=True):
    """Weight of each candidate source's rank, by mode: see `ml.serving.blend`."""

    new: dict[str, float]
    repeat: dict[str, float]

    def of(self, mode: str) -> dict[str, float]:
        return self.new if mode == "new" else self.repeat


class NewcomerModel(Struct, frozen=True, kw_only=True):
    """How likely a shopper chooses a product that nobody has tried: a logit of its features."""

    mean: list[float]
    """Of each of `ml.serving.newcomers.FEATURES`."""
    deviation: list[float]
    weights: list[float]
    bias: float


class Manifest(Struct, frozen=True, kw_only=True):
    schema_version: int
    engine_version: int
    tenant_id: str
    release_id: str
    parent_release_id: str | None
    created_at: str
    snapshot: Snapshot
    metrics: Metrics
    dense_features: list[str]
    code_features: list[str]
    objective: Objective = "auto"
    """net-revenue: own models' lists are ordered by probability times `Tables.worth_cents`."""
    calibration: Calibration | None
    blend: Blend
    newcomers: NewcomerModel | None = None
    files: dict[str, FileEntry]


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash the files in `folder`, then write the manifest, whose presence completes the release."""
    files = {path.name: _entry(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    complete = msgspec.structs.replace(manifest, files=files)
    staged = folder / f".{MANIFEST}"
    staged.write_bytes(msgspec.json.format(msgspec.json.encode(complete)))
    os.replace(staged, folder / MANIFEST)
    return complete


def read_manifest(folder: Path) -> Manifest:
    """Raises ReleaseRejected for an absent, malformed or unknown manifest."""
    path = folder / MANIFEST
    try:
        _require_plain_file(path, LARGEST_MANIFEST_BYTES)
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise ReleaseRejected("the release has no manifest: it was never completed") from error
    except msgspec.DecodeError as error:
        raise ReleaseRejected(f"{MANIFEST}: {error}") from error
    if (manifest.schema_version, manifest.engine_version) != (SCHEMA_VERSION, ENGINE_VERSION):
        raise ReleaseRejected(
            f"{MANIFEST}: schema {manifest.schema_version}, engine {manifest.engine_version}; "
            f"this engine reads schema {SCHEMA_VERSION}, engine {ENGINE_VERSION}"
        )
    return manifest


def verify_release(folder: Path) -> Manifest:
    """Read the manifest and check every file against it. Raises ReleaseRejected."""
    manifest = read_manifest(folder)
    if folder.name != manifest.release_id:
        raise ReleaseRejected(f"{MANIFEST}: release {manifest.release_id!r} is in the wrong folder")
    for name, entry in manifest.files.items():
        if name not in FILES:
            raise ReleaseRejected(f"{MANIFEST}: {name!r} is no file of a release")
        path = folder / name
        try:
            size = _require_plain_file(path, LARGEST_FILE_BYTES)
        except FileNotFoundError as error:
            raise ReleaseRejected(f"{name} is missing") from error
        if size != entry.size:
            raise ReleaseRejected(f"{name} has {size} bytes, the manifest says {entry.size}")
        if _sha256(path) != entry.sha256:
            raise ReleaseRejected(f"{name} differs from its hash in the manifest")
    return manifest


def read_verified(folder: Path, manifest: Manifest, name: str) -> bytes:
    """One file, checked against the manifest. Raises ReleaseRejected."""
    entry = manifest.files.get(name)
    if entry is None or name not in FILES or folder.name != manifest.release_id:
        raise ReleaseRejected(f"{MANIFEST}: names no {name} of this release")
    try:
        size = _require_plain_file(folder / name, LARGEST_FILE_BYTES)
        content = (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise ReleaseRejected(f"{name} is missing") from error
    if size != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ReleaseRejected(f"{name} differs from the manifest")
    return content


def _require_plain_file(path: Path, largest: int) -> int:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ReleaseRejected(f"{path.name} is not a plain file")
    if status.st_size > largest:
        raise ReleaseRejected(f"{path.name} has {status.st_size} bytes, more than {largest}")
    return status.st_size


def _entry(path: Path) -> FileEntry:
    return FileEntry(sha256=_sha256(path), size=path.stat().st_size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
