"""Examples of the reference: a request of every placement, a page, a list to reorder."""

from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import Example, OpenAPIMediaType, Operation, RequestBody

ANN = {"customer_id": "c-42", "market": "DE"}
RECOMMENDATIONS: dict[str, dict[str, Any]] = {
    "for-you": {"placement": "for-you", **ANN, "limit": 12},
    "similar": {"placement": "similar", "product_id": "sku-7", **ANN},
    "bought-together": {"placement": "bought-together", "product_id": "sku-7", "limit": 4},
    "cart": {"placement": "cart", "product_ids": ["sku-7", "sku-12"], **ANN, "limit": 4},
    "trending": {"placement": "trending", "market": "DE", "limit": 8},
    "best-sellers": {"placement": "best-sellers", "market": "DE", "limit": 8},
    "recently-viewed": {
        "placement": "recently-viewed",
        "session_id": "visitor-1",
        "product_id": "sku-7",
    },
    "buy-again": {"placement": "buy-again", **ANN},
}
PAGES: dict[str, dict[str, Any]] = {
    "home page": {
        **ANN,
        "placements": [
            {"placement": "buy-again", "limit": 6},
            {"placement": "for-you", "limit": 12},
            {"placement": "trending", "limit": 6},
        ],
    },
    "product page": {
        "session_id": "visitor-1",
        "exclude": ["sku-7"],
        "placements": [
            {"placement": "bought-together", "product_id": "sku-7", "limit": 3},
            {"placement": "similar", "product_id": "sku-7", "limit": 8},
            {"placement": "recently-viewed", "product_id": "sku-7", "limit": 6},
        ],
    },
}
RANKINGS: dict[str, dict[str, Any]] = {
    "category page": {**ANN, "product_ids": ["sku-7", "sku-12", "sku-3"]},
}


@dataclass
class RecommendOperation(Operation):
    def __post_init__(self) -> None:
        add_examples(self.request_body, RECOMMENDATIONS)


@dataclass
class PageOperation(Operation):
    def __post_init__(self) -> None:
        add_examples(self.request_body, PAGES)


@dataclass
class RankOperation(Operation):
    def __post_init__(self) -> None:
        add_examples(self.request_body, RANKINGS)


def add_examples(body: Any, examples: dict[str, dict[str, Any]]) -> None:  # noqa: ANN401
    """To the declared body of an operation."""
    if not isinstance(body, RequestBody):
        raise TypeError("the operation declares no body")
    content: dict[str, OpenAPIMediaType] = body.content
    content["application/json"].examples = {
        name: Example(value=value) for name, value in examples.items()
    }
