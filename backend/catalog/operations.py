"""OpenAPI of the request bodies that no handler declares, since their rows are judged singly."""

from dataclasses import dataclass

from litestar.openapi.spec import Operation

from backend.catalog.batch import MOST_ROWS
from backend.catalog.schemas import CustomerFields, CustomerIn, ProductFields, ProductIn, StockIn
from backend.reference import body_of, body_of_rows

PRODUCT = {
    "title": "Pale Ale, 12 oz",
    "category": "Drinks > Beer",
    "brand": "Harbour",
    "price_cents": 1299,
    "currency": "EUR",
    "in_stock": True,
    "markets": ["DE", "FR"],
    "updated_at": "2026-03-01T12:00:00Z",
}
CUSTOMER = {"country": "DE", "attributes": {"club": True}}
STOCK = {"product_id": "sku-7", "in_stock": False, "as_of": "2026-03-01T12:00:00Z"}


@dataclass
class ProductsOperation(Operation):
    def __post_init__(self) -> None:
        example = {"product_id": "sku-7", **PRODUCT}
        self.request_body = body_of_rows(ProductIn, "products", MOST_ROWS, example)


@dataclass
class ProductOperation(Operation):
    def __post_init__(self) -> None:
        self.request_body = body_of(ProductFields, PRODUCT)


@dataclass
class CustomersOperation(Operation):
    def __post_init__(self) -> None:
        example = {"customer_id": "c-42", **CUSTOMER}
        self.request_body = body_of_rows(CustomerIn, "customers", MOST_ROWS, example)


@dataclass
class CustomerOperation(Operation):
    def __post_init__(self) -> None:
        self.request_body = body_of(CustomerFields, CUSTOMER)


@dataclass
class StockOperation(Operation):
    def __post_init__(self) -> None:
        self.request_body = body_of_rows(StockIn, "inventory", MOST_ROWS, STOCK)
