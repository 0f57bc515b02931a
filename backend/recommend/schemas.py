"""JSON of a request for recommendations and of its answer."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from ml.serving.traits import Device

Placement = Literal[
    "for-you",
    "similar",
    "bought-together",
    "cart",
    "trending",
    "best-sellers",
    "recently-viewed",
    "buy-again",
]
Mode = Literal["new", "repeat"]

LONGEST_LIST = 100
MOST_EXCLUDED = 500
MOST_PROMOTED = 100
MOST_RECENT = 200
MOST_IN_CART = 100
MOST_PLACEMENTS = 12
MOST_ON_PAGE = 500
MOST_RANKED = 500

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Score = Annotated[float, Meta(description="Between 0 and 1, higher is better; 1.0 is promoted")]


class RecentInteraction(Struct, frozen=True, kw_only=True, rename={"kind": "type"}):
    """Something the shopper did that was not sent as an event, newest first."""

    product_id: Id
    kind: Annotated[
        Literal["view", "click", "add_to_cart", "wishlist", "purchase"],
        Meta(description="What the shopper did with the product"),
    ] = "view"
    occurred_at_s: (
        Annotated[float, Meta(ge=0, description="Unix seconds; absent: just now")] | None
    ) = None


Asked = Annotated[
    Placement,
    Meta(
        description="`for-you`: one shopper; `similar`, `bought-together`: beside one product; "
        "`cart`: beside several; `trending`, `best-sellers`: one market; `recently-viewed`, "
        "`buy-again`: what this shopper viewed, or needs again by now"
    ),
]
Anchor = Annotated[
    Id | None,
    Meta(
        description="The product it is shown beside; required by `similar` and `bought-together`, "
        "left out of `recently-viewed`"
    ),
]
Anchors = Annotated[
    list[Id], Meta(max_length=MOST_IN_CART, description="What is in the cart; required by `cart`")
]
Limit = Annotated[int, Meta(ge=1, le=LONGEST_LIST)]
Excluded = Annotated[list[Id], Meta(max_length=MOST_EXCLUDED, description="Products never to show")]
AskedMode = Annotated[
    Mode,
    Meta(description="`new`: nothing bought before; `repeat`: bought products may come again"),
]
Promoted = Annotated[
    list[Id],
    Meta(
        max_length=MOST_PROMOTED,
        description="Products put first when they score at least `promotion_threshold`",
    ),
]
Threshold = Annotated[float, Meta(ge=0, le=1)]


class Asker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks, and from where."""

    customer_id: Annotated[
        Id | None, Meta(description="The shopper, known or new; absent: anonymous")
    ] = None
    session_id: Annotated[Id | None, Meta(description="An anonymous visitor's session")] = None
    market: (
        Annotated[
            str,
            Meta(
                pattern="^[A-Z]{2}$", description="ISO country; only products sold there are shown"
            ),
        ]
        | None
    ) = None
    device: Annotated[
        Device | None, Meta(description="What the shopper holds; absent: unknown")
    ] = None
    locale: Annotated[str, Meta(max_length=35, examples=["en-GB"])] | None = None
    recent: Annotated[
        list[RecentInteraction],
        Meta(
            max_length=MOST_RECENT,
            description="More behaviour than the events sent so far, newest first",
        ),
    ] = []


class RecommendationRequest(Asker, frozen=True, kw_only=True):
    placement: Asked
    product_id: Anchor = None
    product_ids: Anchors = []
    limit: Limit = 12
    exclude: Excluded = []
    mode: AskedMode = "new"
    promoted: Promoted = []
    promotion_threshold: Threshold = 0.5


# A Struct has one base: the fields stand in both.
class PagePlacement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    placement: Asked
    product_id: Anchor = None
    product_ids: Anchors = []
    limit: Limit = 12
    exclude: Excluded = []
    mode: AskedMode = "new"
    promoted: Promoted = []
    promotion_threshold: Threshold = 0.5


class PageRequest(Asker, frozen=True, kw_only=True):
    placements: Annotated[
        list[PagePlacement],
        Meta(
            min_length=1,
            max_length=MOST_PLACEMENTS,
            description="The first chooses first: no product is shown twice. Their limits add up "
            f"to at most {MOST_ON_PAGE}",
        ),
    ]
    exclude: Annotated[
        list[Id], Meta(max_length=MOST_EXCLUDED, description="Products to show nowhere")
    ] = []


class RankingRequest(Asker, frozen=True, kw_only=True):
    product_ids: Annotated[
        list[Id],
        Meta(min_length=1, max_length=MOST_RANKED, description="The list to reorder, each once"),
    ]
    mode: Annotated[
        Mode,
        Meta(
            description="`repeat`: bought products are ranked with the others; `new`: they go to "
            "the end"
        ),
    ] = "repeat"
    promoted: Promoted = []
    promotion_threshold: Threshold = 0.5


class Reason(Struct, frozen=True, kw_only=True):
    """Why a product is shown."""

    code: Annotated[str, Meta(examples=["bought-together"])]
    words: Annotated[str, Meta(description="The same as one English sentence")]
    product_id: Annotated[str | None, Meta(description="The product the reason rests on")] = None


class RecommendedItem(Struct, frozen=True, kw_only=True):
    product_id: str
    score: Score
    title: str
    url: str | None
    image_url: str | None
    price_cents: int | None
    currency: str | None
    reason: Reason


class Timings(Struct, frozen=True, kw_only=True):
    """Where the milliseconds went."""

    total_ms: float
    state_ms: Annotated[float, Meta(description="Shopper, release in service and live catalogue")]
    candidates_ms: Annotated[float, Meta(description="Cache or engine")]
    stages_us: Annotated[
        dict[str, int], Meta(description="Microseconds per stage of the engine")
    ] = {}
    cached: Annotated[bool, Meta(description="Whether the candidates came from the cache")] = False


class Recommendations(Struct, frozen=True, kw_only=True):
    """Best first; fewer than asked for only when fewer may be shown."""

    recommendation_id: Annotated[str, Meta(description="Send it with the events that follow")]
    placement: Placement
    served_by: Annotated[
        str,
        Meta(description="The rung that answered", examples=["own-models", "popular", "newest"]),
    ]
    degraded: Annotated[bool, Meta(description="Whether a better rung exists but failed")]
    release_id: Annotated[str | None, Meta(description="null: no release answered")]
    items: list[RecommendedItem]
    timings: Timings


class Page(Struct, frozen=True, kw_only=True):
    """In the order asked for; no product comes twice."""

    placements: list[Recommendations]


Unranked = Literal["unknown", "unavailable", "bought", "dismissed"]


class RankedItem(Struct, frozen=True, kw_only=True):
    product_id: str
    score: Score
    reason: Reason
    unranked: Annotated[
        Unranked | None,
        Meta(
            description="Why it stands at the end, in the order of the list: not in the catalogue, "
            "not on sale here, bought before, dismissed. null: ranked"
        ),
    ] = None


class Ranking(Struct, frozen=True, kw_only=True):
    """Every product of the list exactly once, best first."""

    recommendation_id: Annotated[str, Meta(description="Send it with the events that follow")]
    served_by: Annotated[
        str, Meta(description="The rung that answered", examples=["own-models", "popular"])
    ]
    degraded: Annotated[bool, Meta(description="Whether a better rung exists but failed")]
    release_id: Annotated[str | None, Meta(description="null: no release answered")]
    items: list[RankedItem]
    timings: Timings
