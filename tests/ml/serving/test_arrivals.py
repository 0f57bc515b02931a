"""Products that arrive after a release: read as the release's own, found by their words alone."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from ml.release import ReleaseRejected, read_manifest, write_manifest
from ml.serving.arrivals import Arrival, with_arrivals
from ml.serving.engine import UnknownProduct, load_release, recommend
from ml.serving.product_text import ProductText
from ml.serving.release import LoadedRelease
from ml.serving.request import EngineRequest, Interaction
from ml.serving.tables_files import VOCABULARY
from ml.serving.vocabulary import read_words
from tests.ml.small_release import NOW_S, write_small_release
from tests.ml.worded_release import TITLES, write_worded_release

TEA = Arrival("new tea", ProductText("A green tea of the year"))
HAMMER = Arrival("new hammer", ProductText("Steel hammer, heavy"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_worded_release(tmp_path)


@pytest.fixture
def wider(folder: Path) -> LoadedRelease:
    return with_arrivals(load_release(folder), [TEA, HAMMER])


def shown(release: LoadedRelease, *viewed: str) -> list[str]:
    recent = [Interaction(product_id=p, kind="view", occurred_at_s=NOW_S - 60.0) for p in viewed]
    request = EngineRequest(now_s=NOW_S, limit=14, recent=recent)
    return [item.product_id for item in recommend(release, request).items]


def test_an_arrival_is_shown_to_whom_it_suits(wider: LoadedRelease) -> None:
    to_drinkers, to_builders = shown(wider, "p00", "p01"), shown(wider, "p10", "p11")

    assert to_drinkers.index("new tea") < to_drinkers.index("new hammer")
    assert to_builders.index("new hammer") < to_builders.index("new tea")


def test_the_release_itself_stays_as_it_was(folder: Path) -> None:
    release = load_release(folder)
    before = shown(release, "p00")
    with_arrivals(release, [TEA])

    assert shown(release, "p00") == before
    assert "new tea" not in before


def test_the_order_of_known_products_does_not_change(folder: Path, wider: LoadedRelease) -> None:
    known = [name for name in shown(wider, "p00") if name.startswith("p")]

    assert known == shown(load_release(folder), "p00")


def test_what_resembles_an_arrival_is_found_by_its_words(wider: LoadedRelease) -> None:
    answer = recommend(wider, EngineRequest(now_s=NOW_S, limit=5, similar_to="new hammer"))

    assert {item.product_id for item in answer.items} <= {f"p{n:02}" for n in range(6, 12)}
    assert answer.served_by == "content"


def test_a_shopper_who_looked_at_an_arrival_is_answered(wider: LoadedRelease) -> None:
    assert set(shown(wider, "new tea", "p00")) >= {"p01", "p02"}


def test_a_known_product_is_no_arrival_and_comes_once(folder: Path) -> None:
    release = load_release(folder)

    assert with_arrivals(release, [Arrival("p00", ProductText("Another title"))]) is release
    assert with_arrivals(release, []) is release


def test_a_release_without_a_vocabulary_takes_none(tmp_path: Path) -> None:
    release = load_release(write_small_release(tmp_path))

    assert with_arrivals(release, [TEA]) is release
    with pytest.raises(UnknownProduct):
        recommend(release, EngineRequest(now_s=NOW_S, limit=5, similar_to="new tea"))


def test_words_are_read_as_in_training(folder: Path) -> None:
    tables = load_release(folder).tables
    assert tables.vocabulary is not None
    assert tables.words is not None
    again = read_words(tables.vocabulary, [ProductText(title) for title in TITLES])

    for row in range(12):
        assert row_of(again, row) == pytest.approx(row_of(tables.words, row), abs=1e-6)


def row_of(words: object, row: int) -> dict[int, float]:
    starts, column, weight = words  # type: ignore[misc]
    inside = slice(starts[row], starts[row + 1])
    return dict(zip(column[inside].tolist(), weight[inside].tolist(), strict=True))


def test_a_vocabulary_that_names_columns_it_lacks_is_refused(folder: Path) -> None:
    kept = msgspec.msgpack.decode((folder / VOCABULARY).read_bytes())
    kept["columns"][0] = 10**6
    (folder / VOCABULARY).write_bytes(msgspec.msgpack.encode(kept))
    write_manifest(folder, read_manifest(folder))
    with pytest.raises(ReleaseRejected, match="vocabulary"):
        load_release(folder)


def test_a_product_of_unknown_words_is_taken_and_resembles_nothing(folder: Path) -> None:
    release = with_arrivals(load_release(folder), [Arrival("x", ProductText("Größe 日本"))])

    assert release.tables.content.weight[-1].max() == 0
    assert np.isfinite(
        [item.score for item in recommend(release, EngineRequest(now_s=NOW_S, limit=13)).items]
    ).all()
