"""Golden requests: a release carries a few questions with the answers it gave when it was made."""

from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from ml.release import ReleaseRejected
from ml.serving.engine import LoadedRelease, recommend
from ml.serving.request import EngineRequest, Interaction, Mode, Purchase

GOLDEN = "golden.json"
LIMIT = 10
TOLERANCE = 1e-5


class Golden(Struct, frozen=True, kw_only=True):
    now_s: float
    mode: Mode
    recent: list[Interaction]
    bought: list[Purchase]
    product_ids: list[str]
    scores: list[float]

    def request(self) -> EngineRequest:
        return EngineRequest(
            now_s=self.now_s, limit=LIMIT, mode=self.mode, recent=self.recent, bought=self.bought
        )


def write_golden(release: LoadedRelease, folder: Path) -> None:
    """Ask as nobody, as a visitor who viewed the most popular products, and as their buyer."""
    tables = release.tables
    popular = [release.product_ids[p] for p in np.argsort(-tables.trends[:, 2])[:3]]
    now_s = float(tables.cut_s)
    viewed = [
        Interaction(product_id=product_id, kind="view", occurred_at_s=now_s - 60 * (place + 1))
        for place, product_id in enumerate(popular)
    ]
    bought_s = now_s - 86_400 * 20
    owned = [
        Purchase(product_id=p, times=1, last_s=bought_s, first_s=bought_s, strength=1.0)
        for p in popular
    ]
    questions: list[tuple[Mode, list[Interaction], list[Purchase]]] = [
        ("new", [], []),
        ("new", viewed, []),
        ("repeat", viewed, owned),
    ]
    answers = [_answered(release, now_s, *question) for question in questions]
    (folder / GOLDEN).write_bytes(msgspec.json.format(msgspec.json.encode(answers)))


def _answered(
    release: LoadedRelease,
    now_s: float,
    mode: Mode,
    recent: list[Interaction],
    bought: list[Purchase],
) -> Golden:
    empty = Golden(now_s=now_s, mode=mode, recent=recent, bought=bought, product_ids=[], scores=[])
    items = recommend(release, empty.request()).items
    return msgspec.structs.replace(
        empty,
        product_ids=[item.product_id for item in items],
        scores=[item.score for item in items],
    )


def check_golden(release: LoadedRelease, folder: Path) -> None:
    """Raises ReleaseRejected when the release answers otherwise than it did when it was made."""
    golden = msgspec.json.decode((folder / GOLDEN).read_bytes(), type=list[Golden])
    for question in golden:
        items = recommend(release, question.request()).items
        scores = np.array([item.score for item in items])
        same = [item.product_id for item in items] == question.product_ids
        if not same or not np.allclose(scores, question.scores, atol=TOLERANCE):
            raise ReleaseRejected(f"{GOLDEN}: the release no longer gives its golden answers")
        if not np.isfinite(scores).all():
            raise ReleaseRejected(f"{GOLDEN}: a score is not a finite number")
