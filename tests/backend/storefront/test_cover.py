"""Drawn pictures of products that have none."""

from xml.etree import ElementTree

import pytest

from backend.storefront.cover import cover_svg, initials


def test_a_product_always_gets_the_same_picture() -> None:
    picture = cover_svg("p1", "Green Tea", "drinks > tea")

    assert picture == cover_svg("p1", "Green Tea", "drinks > tea")
    assert picture != cover_svg("p2", "Green Tea", "drinks > tea")


@pytest.mark.parametrize(
    ("title", "letters"),
    [("Soft Drinks 12 oz", "SD"), ("tea", "T"), ("Äpfel & Öl", "ÄÖ"), ("***", "?"), ("", "?")],
)
def test_the_letters_are_those_of_the_first_words(title: str, letters: str) -> None:
    assert initials(title) == letters


def test_a_title_never_becomes_markup() -> None:
    picture = cover_svg("p1", '<script>alert("x")</script>', None)

    root = ElementTree.fromstring(picture)
    assert not [element for element in root.iter() if element.tag.endswith("script")]
