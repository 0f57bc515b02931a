"""A made-up shop with structure to find: shoppers stay within a taste, and tastes have an order."""

import numpy as np
import pyarrow as pa

from ml.dataset import CUSTOMERS, EVENTS, PRODUCTS, Dataset
from ml.shop import Shop, build_shop

START_S = 1_700_000_000
DAY_S = 86_400
TASTES, PRODUCTS_EACH = 6, 20


def toy_dataset(shoppers: int = 300, days: int = 120, seed: int = 3) -> Dataset:
    """Each shopper buys within one taste, mostly the product after the last one, at random days."""
    rng = np.random.default_rng(seed)
    names = [f"p{n:03}" for n in range(TASTES * PRODUCTS_EACH)]
    rows: list[tuple[str, str, int]] = []
    for shopper in range(shoppers):
        taste = shopper % TASTES
        place = int(rng.integers(PRODUCTS_EACH))
        visits = np.sort(rng.uniform(0, days, rng.integers(15, 35)))
        for day in visits:
            jump = 1 if rng.random() < 0.7 else int(rng.integers(PRODUCTS_EACH))
            place = (place + jump) % PRODUCTS_EACH
            product = names[taste * PRODUCTS_EACH + place]
            rows.append((f"c{shopper:04}", product, int(START_S + day * DAY_S)))
    n = len(names)
    return Dataset(
        products=_table(
            PRODUCTS,
            product_id=names,
            title=[f"Product {name} of taste {k // PRODUCTS_EACH}" for k, name in enumerate(names)],
            category=[f"Taste {k // PRODUCTS_EACH} > Row {k % 4}" for k in range(n)],
            brand=[f"Brand {k % 7}" for k in range(n)],
            price_cents=[100 + 10 * (k % 50) for k in range(n)],
        ),
        customers=_table(CUSTOMERS, customer_id=[f"c{k:04}" for k in range(shoppers)]),
        events=_table(
            EVENTS,
            event_id=[str(k) for k in range(len(rows))],
            type=["purchase"] * len(rows),
            customer_id=[row[0] for row in rows],
            product_id=[row[1] for row in rows],
            occurred_at=[row[2] * 1_000_000 for row in rows],
        ),
    )


def toy_shop() -> Shop:
    return build_shop(toy_dataset())


def _table(schema: pa.Schema, **columns: list[object]) -> pa.Table:
    rows = len(next(iter(columns.values())))
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)
