"""Which products of a release are blocked, as the catalogue changes."""

from pathlib import Path

import pytest

from backend.recommend.live_catalog import LiveCatalog
from ml.serving.release import LoadedRelease, load_release
from tests.backend.recommend.rows import catalog_of, row
from tests.ml.small_release import PRODUCTS, write_small_release


@pytest.fixture
def release(tmp_path: Path) -> LoadedRelease:
    return load_release(write_small_release(tmp_path))


def shown(catalog: LiveCatalog, release: LoadedRelease, market: str | None = None) -> list[str]:
    blocked = catalog.blocked(release, market, [])
    return [name for name, hidden in zip(release.product_ids, blocked, strict=True) if not hidden]


def test_a_product_the_catalogue_does_not_know_is_blocked(release: LoadedRelease) -> None:
    catalog = catalog_of(row("p03"), row("unknown to the release"))

    assert shown(catalog, release) == ["p03"]


def test_a_product_is_shown_in_its_markets_only(release: LoadedRelease) -> None:
    catalog = catalog_of(row("p00"), row("p01", markets=["DE"]), row("p02", markets=["GB"]))

    assert shown(catalog, release, "DE") == ["p00", "p01"]
    assert shown(catalog, release) == ["p00", "p01", "p02"]


def test_a_change_is_seen_by_masks_that_were_asked_for_before(release: LoadedRelease) -> None:
    catalog = catalog_of(*map(row, PRODUCTS))
    assert shown(catalog, release) == PRODUCTS
    catalog.apply([row("p05", sellable=False)])
    catalog.apply([row("p06", markets=["GB"])])

    assert "p05" not in shown(catalog, release)
    assert "p06" in shown(catalog, release)
    assert "p06" not in shown(catalog, release, "DE")


def test_a_product_that_arrives_later_is_shown(release: LoadedRelease) -> None:
    catalog = catalog_of(row("p00"))
    assert shown(catalog, release) == ["p00"]
    catalog.apply([row("p01")])

    assert shown(catalog, release) == ["p00", "p01"]


def test_the_mask_belongs_to_the_caller(release: LoadedRelease) -> None:
    catalog = catalog_of(*map(row, PRODUCTS))
    catalog.blocked(release, None, ["p00"])[:] = True

    assert shown(catalog, release) == PRODUCTS
    assert catalog.blocked(release, None, ["p00", "nobody"]).tolist().count(True) == 1
