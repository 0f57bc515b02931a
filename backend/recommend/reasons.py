"""Why a product is shown, in words."""

ABOUT_ANOTHER = {
    "bought-together": "Often bought together with {product}",
    "because-you-viewed": "Because you viewed {product}",
    "because-you-bought": "Because you bought {product}",
    "similar": "Similar to {product}",
    "same-category": "In the same category as {product}",
    "same-brand": "From the same brand as {product}",
}
"""Sentences that need the title of a second product."""

ALONE = {
    "bought-together": "Goes with what you bought",
    "because-you-viewed": "Because of what you viewed",
    "because-you-bought": "Because of what you bought",
    "similar": "Similar to what you looked at",
    "for-you": "Picked for you",
    "trending": "Trending this week",
    "buy-again": "You buy this regularly",
    "bought-before": "You bought this before",
    "viewed-before": "You looked at this before",
    "popular": "Popular with shoppers",
    "newest": "New in the shop",
    "as-listed": "In the order of the list",
}
PLAIN = "Popular with shoppers"


def reason_code(code: str, *, was_bought: bool) -> str:
    """The engine calls all recent interest a view; of a purchase the shopper knows better."""
    return "because-you-bought" if code == "because-you-viewed" and was_bought else code


def words(code: str, product_title: str | None) -> str:
    """One sentence for a shopper. An unknown code, or a lost product, gets a plainer one."""
    if product_title is not None and code in ABOUT_ANOTHER:
        return ABOUT_ANOTHER[code].format(product=product_title)
    return ALONE.get(code, PLAIN)
