"""Products as vectors of their words, in whatever language those are."""

import numpy as np
import pyarrow as pa
import pytest

from ml.content.neighbours import content_neighbours
from ml.content.text import fit_text, product_texts
from ml.serving.product_text import ProductText, folded, weighted_terms, words
from ml.serving.vocabulary import read_words

GERMAN = [
    "Kinderfahrrad 20 Zoll, rot",
    "Fahrrad für Mädchen",
    "Fahrräder für Jungen, Größe M",
    "Käsereibe aus Edelstahl",
    "KASEREIBE, groß",
    "Kaffeemühle, Keramik",
]
POLISH = [
    "Łyżka drewniana",
    "Łyżki drewniane, zestaw",
    "Kubek ceramiczny",
    "Kubki ceramiczne, 4 sztuki",
    "Obrus lniany",
    "Obrusy lniane haftowane",
]
JAPANESE = [
    "抹茶茶碗",
    "手作り抹茶茶碗セット",
    "折りたたみ傘",
    "折りたたみ日傘",
    "ガラスのコップ",
    "ガラスコップ(大)",
]


def nearest(titles: list[str]) -> list[int]:
    """Position of the product each one is most alike to."""
    found = content_neighbours(fit_text([ProductText(title) for title in titles]).telling, most=2)
    return [int(row[0]) if weight[0] else -1 for row, weight in zip(*found, strict=True)]


def test_products_alike_in_words_and_category_are_neighbours() -> None:
    products = pa.table(
        {
            "title": ["red wool scarf", "blue wool scarf", "steel pan", "steel pan lid", "tea"],
            "description": pa.nulls(5, pa.string()),
            "category": ["wear > scarves", "wear > scarves", "kitchen", None, None],
            "brand": pa.array(["acme", "acme", None, None, None], pa.string()),
            "attributes": pa.nulls(5, pa.string()),
        }
    )

    found = content_neighbours(fit_text(product_texts(products)).telling, most=3)

    assert found.item[0, 0] == 1
    assert found.item[2, 0] == 3
    assert found.weight[0, 0] > 0.5
    assert not found.weight[4].any()


@pytest.mark.parametrize("title", ["", "thing", "!!!"])
def test_titles_that_say_nothing_make_no_neighbours(title: str) -> None:
    space = fit_text([ProductText(title)] * 200)

    assert not content_neighbours(space.telling).weight.any()
    assert np.isfinite(space.vectors).all()


@pytest.mark.parametrize("count", [0, 1])
def test_a_catalogue_of_hardly_anything_is_encoded(count: int) -> None:
    space = fit_text([ProductText("lamp")] * count)

    assert space.vectors.shape == (count, 64)
    assert not space.vectors.any()


@pytest.mark.parametrize("titles", [POLISH, JAPANESE], ids=["polish", "japanese"])
def test_inflected_words_and_words_without_spaces_find_each_other(titles: list[str]) -> None:
    assert nearest(titles) == [1, 0, 3, 2, 5, 4]


def test_german_compounds_and_umlauts_find_each_other() -> None:
    near = nearest(GERMAN)

    assert near[0] in {1, 2}
    assert near[1] == 2
    assert near[3] == 4
    assert near[4] == 3


def test_accents_case_and_width_make_no_difference() -> None:
    assert folded("  ŁÓDŹ  Straße") == folded("lodz strasse")
    assert folded("ＡＢＣ") == "abc"  # noqa: RUF001
    assert folded("が") != folded("か")


def test_scripts_without_spaces_are_read_by_pairs_and_others_by_words() -> None:
    assert words("USB充電器 2個") == ["usb", "充電", "電器", "2", "個"]


def test_attributes_that_are_no_object_are_read_as_nothing() -> None:
    plain = weighted_terms(ProductText("lamp"))

    assert weighted_terms(ProductText("lamp", attributes='["red"]')) == plain
    assert weighted_terms(ProductText("lamp", attributes="{broken")) == plain
    assert "a:colour=red" in weighted_terms(ProductText("lamp", attributes='{"Colour": "Red"}'))


def test_a_new_product_is_placed_beside_its_like() -> None:
    space = fit_text([ProductText(title) for title in GERMAN])

    new = read_words(space.vocabulary, [ProductText("Damenfahrrad"), ProductText("xyzzy")])
    spoken = np.bincount(new.column, new.weight, space.telling.shape[1])

    assert (space.telling @ spoken).argmax() in {0, 1, 2}
    assert new.starts[1] == new.starts[2]


def test_equal_texts_and_seed_give_equal_vectors() -> None:
    texts = [ProductText(title) for title in GERMAN]

    assert (fit_text(texts).vectors == fit_text(texts).vectors).all()
