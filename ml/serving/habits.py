"""Whether a shopper needs again by now what they bought."""

from ml.serving.request import Purchase

DAY_S = 86_400.0
SHORTEST_GAP_DAYS = 0.5
"""Purchases of one product within it are one."""
USUAL_GAP_DAYS = 30.0
"""Between two purchases where nothing is known of the product."""
DUE_SHARE = 0.5
"""Needed again after so much of the usual gap: half of all who buy again are sooner than it."""
SELDOM_AGAIN = 0.1
"""Where fewer of its buyers bought a product again, one purchase is no habit."""


def is_due(
    purchase: Purchase, now_s: float, usual_gap_days: float = USUAL_GAP_DAYS, again: float = 1.0
) -> bool:
    """By the shopper's own rhythm, else by the product's.

    usual_gap_days: between two purchases of the product. again: share of its buyers who bought it
    again.
    """
    own_gap_days = rhythm_days(purchase)
    has_rhythm = own_gap_days > SHORTEST_GAP_DAYS
    if not has_rhythm and again < SELDOM_AGAIN:
        return False
    gap_days = own_gap_days if has_rhythm else usual_gap_days
    return (now_s - purchase.last_s) / DAY_S >= DUE_SHARE * gap_days


def rhythm_days(purchase: Purchase) -> float:
    """Mean days between the shopper's purchases; 0 of what was bought once."""
    if purchase.times < 2:
        return 0.0
    return (purchase.last_s - purchase.first_s) / DAY_S / (purchase.times - 1)
