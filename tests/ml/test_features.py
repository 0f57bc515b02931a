"""What the item tower sees: NVTabular's encoding, and the same by plain tables."""

import numpy as np
import pyarrow as pa
import pytest

from ml.dataset import PRODUCTS
from ml.features import ItemFeatures, encode_catalogue, facts_of
from ml.serving.encoding import CODES, DENSE, OUT_OF_VOCABULARY, apply_encoding

ROWS = [
    {"product_id": str(n), "title": "t", "category": category, "brand": brand, "price_cents": price}
    for n, (category, brand, price) in enumerate(
        [
            ("Food > Dairy > Milk", "Own", 100),
            ("Food > Dairy > Milk", "Own", 200),
            ("Food > Dairy > Cheese", "Alp", 900),
            ("Food > Dairy > Cheese", "Alp", None),
            ("Food", None, 50),
            (None, "Own", 70),
            ("Toys > Balls", "Rare", 1200),
            ("Toys > Balls", None, 1500),
        ]
    )
]


def catalogue(rows: list[dict[str, object]]) -> pa.Table:
    columns = [pa.array([row.get(f.name) for row in rows], f.type) for f in PRODUCTS]
    return pa.table(columns, schema=PRODUCTS)


@pytest.fixture(scope="module")
def features() -> ItemFeatures:
    return encode_catalogue(catalogue(ROWS))


def test_codes_stay_below_their_cardinality(features: ItemFeatures) -> None:
    assert features.codes.shape == (len(ROWS), len(CODES))
    assert (features.codes >= 0).all()
    assert (features.codes.max(axis=0) < features.cardinalities).all()


def test_equal_brands_share_a_code_and_rare_ones_are_out_of_vocabulary(
    features: ItemFeatures,
) -> None:
    brand = features.codes[:, CODES.index("brand")]

    assert brand[0] == brand[1] == brand[5] != brand[2]
    assert brand[6] == OUT_OF_VOCABULARY


def test_dense_values_are_finite_and_standardised(features: ItemFeatures) -> None:
    assert np.isfinite(features.dense).all()
    assert features.dense.mean(axis=0) == pytest.approx(0, abs=1e-5)


def test_plain_tables_encode_as_the_workflow_does(features: ItemFeatures) -> None:
    codes, dense = apply_encoding(features.encoding, facts_of(catalogue(ROWS)))

    assert (codes == features.codes).all()
    assert dense == pytest.approx(features.dense, abs=1e-4)


def test_a_new_product_of_an_unknown_brand_is_out_of_vocabulary(features: ItemFeatures) -> None:
    new = [{"product_id": "n", "title": "t", "brand": "Unheard", "category": "Food > Dairy > Milk"}]
    codes, dense = apply_encoding(features.encoding, facts_of(catalogue(new)))

    assert codes[0, CODES.index("brand")] == OUT_OF_VOCABULARY
    assert codes[0, CODES.index("level 3")] == features.codes[0, CODES.index("level 3")]
    assert np.isfinite(dense).all()


def test_a_new_product_is_dear_or_cheap_against_its_category(features: ItemFeatures) -> None:
    dear = {"product_id": "n", "title": "t", "category": "Food > Dairy > Milk", "price_cents": 900}
    _, dense = apply_encoding(features.encoding, facts_of(catalogue([dear])))

    assert dense[0, DENSE.index("relative price")] > features.dense[:2].max()


def test_columns_that_are_null_throughout_are_encoded() -> None:
    rows = [{"product_id": str(n), "title": "t"} for n in range(5)]
    features = encode_catalogue(catalogue(rows))

    assert len(np.unique(features.codes, axis=0)) == 1
    assert np.isfinite(features.dense).all()
