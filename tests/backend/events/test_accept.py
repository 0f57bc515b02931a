"""What is sent as an event, and what is answered."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.backend.events.helping import event, until
from tests.conftest import Shop

GONE: dict[str, Any] = {}
NUL = "\0"


async def test_one_event_is_accepted(shop: Shop) -> None:
    answer = await shop.post("/v1/events", event("e1"))

    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": 0,
        "results": [{"status": "accepted", "event_id": "e1"}],
    }


async def test_each_event_of_a_batch_gets_its_own_answer(shop: Shop) -> None:
    batch = [event("e1"), event("e2", quantity=-1), event("e1"), event("e3", product_id="unheard")]

    answer = await shop.post("/v1/events", {"events": batch})

    assert answer.status_code == 202
    body = answer.json()
    assert [row["status"] for row in body["results"]] == [
        "accepted",
        "rejected",
        "duplicate",
        "accepted",
    ]
    assert (body["accepted"], body["duplicates"], body["rejected"]) == (2, 1, 1)
    assert body["results"][1] == {
        "status": "rejected",
        "event_id": "e2",
        "code": "out_of_range",
        "pointer": "/events/1/quantity",
        "message": "quantity must be at least 0",
    }


@pytest.mark.parametrize(
    ("change", "field", "code", "words"),
    [
        ({"event_id": ""}, "event_id", "missing", "is empty"),
        ({"event_id": "x" * 201}, "event_id", "too_long", "longer than 200 characters"),
        ({"event_id": "x" * 10_000}, "event_id", "too_long", "longer than 200 characters"),
        ({"event_id": 7}, "event_id", "wrong_type", "must be text, not a whole number"),
        ({"type": "gaze"}, "type", "not_allowed", "must be one of add_to_cart, click"),
        ({"type": None}, "type", "wrong_type", "must be text, not null"),
        ({"customer_id": None}, "customer_id", "missing", "customer_id or session_id"),
        ({"customer_id": ["a"]}, "customer_id", "wrong_type", "must be text, not a list"),
        ({"product_id": None}, "product_id", "missing", "view needs it"),
        ({"product_id": f"a{NUL}"}, "product_id", "malformed", "U+0000"),
        ({"occurred_at": None}, "occurred_at", "wrong_type", "must be a time"),
        ({"occurred_at": 1767323045}, "occurred_at", "wrong_type", "must be a time"),
        ({"occurred_at": "yesterday"}, "occurred_at", "malformed", "must be a time"),
        ({"occurred_at": "1970-01-01T00:00:00Z"}, "occurred_at", "out_of_range", "before 1995"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at", "out_of_range", "before"),
        ({"occurred_at": "9999-12-31T23:59:59-14:00"}, "occurred_at", "out_of_range", "future"),
        ({"quantity": -1}, "quantity", "out_of_range", "at least 0"),
        ({"quantity": 2**31}, "quantity", "out_of_range", "at most"),
        ({"quantity": "2"}, "quantity", "wrong_type", "a whole number, not text"),
        ({"quantity": 1.5}, "quantity", "wrong_type", "a whole number, not a decimal number"),
        ({"quantity": float("nan")}, "quantity", "malformed", "NaN"),
        ({"price_cents": float("inf")}, "price_cents", "malformed", "infinite"),
        ({"price_cents": -5}, "price_cents", "out_of_range", "at least 0"),
        ({"currency": "euro"}, "currency", "malformed", "three capital letters"),
        ({"dwell_ms": True}, "dwell_ms", "wrong_type", "a whole number, not true or false"),
        ({"context": "x"}, "context", "wrong_type", "an object, not text"),
        ({"context": {"a": "x" * 5000}}, "context", "too_long", "larger than 4096 bytes"),
        ({"context": {"a": [{"b": NUL}]}}, "context", "malformed", "U+0000"),
    ],
)
async def test_a_bad_event_is_named_and_the_good_one_beside_it_kept(
    shop: Shop, change: dict[str, Any], field: str, code: str, words: str
) -> None:
    body = json.dumps({"events": [event("bad") | change, event("good")]})

    answer = await shop.api.post("/v1/events", content=body)

    assert answer.status_code == 202, answer.text
    bad, good = answer.json()["results"]
    assert good["status"] == "accepted"
    assert (bad["status"], bad["code"]) == ("rejected", code)
    assert bad["pointer"] == f"/events/0/{field}"
    assert field in bad["message"]
    assert words in bad["message"]


@pytest.mark.parametrize("field", ["event_id", "type", "occurred_at"])
async def test_a_missing_field_is_named(shop: Shop, field: str) -> None:
    lacking = event("e1")
    del lacking[field]

    answer = await shop.post("/v1/events", {"events": [lacking, event("e2")]})

    result = answer.json()["results"][0]
    assert result["code"] == "missing"
    assert result["message"] == f"{field} is missing"


async def test_nothing_accepted_is_a_problem_with_an_answer_for_each_event(shop: Shop) -> None:
    answer = await shop.post("/v1/events", {"events": [event("a", quantity=-1), {}]})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "events_rejected"
    assert problem["request_id"]
    assert [row["pointer"] for row in problem["results"]] == [
        "/events/0/quantity",
        "/events/1/event_id",
    ]


async def test_a_lone_bad_event_is_pointed_at_directly(shop: Shop) -> None:
    answer = await shop.post("/v1/events", event("a", quantity=-1))

    assert answer.status_code == 422
    assert answer.json()["results"][0]["pointer"] == "/quantity"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "must be an object"),
        (b'{"events": {}}', "events must be a list"),
        (b'{"events": []}', "no events"),
        (b'{"events": ' + b"[" * 1_000_000, "nested too deeply"),
        (b'{"events": [' + b'{"context":' * 100_000, "nested too deeply"),
    ],
)
async def test_a_body_without_events_is_a_bad_request(shop: Shop, body: bytes, words: str) -> None:
    answer = await shop.api.post("/v1/events", content=body)

    assert answer.status_code == 400
    assert words in answer.json()["detail"]


async def test_a_batch_has_a_limit(shop: Shop) -> None:
    batch = [event(str(number)) for number in range(501)]

    assert (await shop.post("/v1/events", {"events": batch})).status_code == 413
    assert (await shop.post("/v1/events", {"events": batch[1:]})).status_code == 202


async def test_a_body_has_a_limit(shop: Shop) -> None:
    huge = {"events": [event("e1", context={"a": "x" * 10_000_000})]}

    assert (await shop.post("/v1/events", huge)).status_code == 413


async def test_a_beacon_has_smaller_limits(shop: Shop) -> None:
    batch = [event(str(number)) for number in range(101)]
    heavy = [event(str(number), context={"a": "x" * 4000}) for number in range(80)]

    too_many = await shop.storefront.post("/v1/collect", json={"events": batch})
    too_heavy = await shop.storefront.post("/v1/collect", json={"events": heavy})

    assert (too_many.status_code, too_heavy.status_code) == (413, 413)


async def test_a_time_somewhat_ahead_counts_as_now(shop: Shop, drained: None) -> None:
    before = datetime.now(UTC)
    ahead = (before + timedelta(hours=23)).isoformat()
    too_far = (before + timedelta(hours=25)).isoformat()

    answer = await shop.post(
        "/v1/events", {"events": [event("a", occurred_at=ahead), event("b", occurred_at=too_far)]}
    )

    assert [row["status"] for row in answer.json()["results"]] == ["accepted", "rejected"]
    [stored] = await stored_events(shop, 1)
    assert before <= datetime.fromisoformat(stored["occurred_at"]) <= datetime.now(UTC)


async def test_every_field_is_stored(shop: Shop, drained: None) -> None:
    sent = event(
        "e1",
        type="purchase",
        session_id="s1",
        occurred_at="2026-01-02T05:04:05.678901+02:00",
        quantity=2,
        price_cents=1999,
        currency="EUR",
        recommendation_id="r1",
        dwell_ms=5,
        context={"page": {"kind": "cart"}, "ü": [1, 2.5, None]},
    )

    await shop.post("/v1/events", sent)

    [stored] = await stored_events(shop, 1)
    assert stored == sent | {"occurred_at": "2026-01-02T03:04:05.678901Z"}


async def test_a_time_without_a_zone_is_utc(shop: Shop, drained: None) -> None:
    await shop.post("/v1/events", event("e1", occurred_at="2026-01-02T03:04:05"))

    [stored] = await stored_events(shop, 1)
    assert stored["occurred_at"] == "2026-01-02T03:04:05Z"


async def test_a_beacon_carries_its_key_in_a_plain_text_body(
    shop: Shop, anyone: httpx.AsyncClient, drained: None
) -> None:
    view = event("e1", customer_id=None, session_id="s1")
    del view["occurred_at"]
    body = json.dumps({"key": shop.publishable_key, "events": [view]})

    answer = await anyone.post(
        "/v1/collect", content=body, headers={"content-type": "text/plain;charset=UTF-8"}
    )

    assert answer.status_code == 202, answer.text
    [stored] = await stored_events(shop, 1, session_id="s1")
    age = datetime.now(UTC) - datetime.fromisoformat(stored["occurred_at"])
    assert timedelta(0) <= age < timedelta(minutes=1)


async def test_who_may_not_send(shop: Shop, anyone: httpx.AsyncClient) -> None:
    assert (await anyone.post("/v1/events", json=event("e"))).status_code == 401
    assert (await anyone.post("/v1/collect", json=event("e"))).status_code == 401
    assert (await anyone.post("/v1/collect", content=b"\xff")).status_code == 401
    assert (await anyone.post("/v1/collect", json={"key": "ak_live_pub_x"})).status_code == 401
    assert (await shop.storefront.post("/v1/events", json=event("e"))).status_code == 403
    assert (await shop.storefront.get("/v1/events")).status_code == 403


async def test_a_shopper_s_events_are_listed_page_by_page(shop: Shop, drained: None) -> None:
    batch = [event(f"e{n}", occurred_at=f"2026-01-0{1 + n // 3}T00:00:00Z") for n in range(9)]
    await shop.post("/v1/events", {"events": [*batch, event("x", customer_id="bob")]})
    await stored_events(shop, 9)

    seen: list[str] = []
    cursor: str | None = None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = (await shop.get("/v1/events", customer_id="ann", limit=2, **more)).json()
        seen += [row["event_id"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == [f"e{n}" for n in reversed(range(9))]
    assert (await shop.get("/v1/events", customer_id="ann", cursor="?")).status_code == 400
    assert (await shop.get("/v1/events")).status_code == 400


async def test_the_reference_shows_the_body(anyone: httpx.AsyncClient) -> None:
    schema = (await anyone.get("/schema/openapi.json")).json()

    for path, limit in (("/v1/events", 500), ("/v1/collect", 100)):
        body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        many, one = body["schema"]["oneOf"]
        assert many["properties"]["events"]["maxItems"] == limit
        assert "purchase" in one["properties"]["type"]["enum"]
        assert body["example"]["events"]


async def stored_events(
    shop: Shop, count: int, session_id: str | None = None
) -> list[dict[str, Any]]:
    """What is stored of one shopper, once it is that much."""
    whose = {"customer_id": "ann"} if session_id is None else {"session_id": session_id}

    async def items() -> list[dict[str, Any]]:
        return (await shop.get("/v1/events", **whose)).json()["items"]

    async def are_enough() -> bool:
        return len(await items()) >= count

    await until(are_enough)
    return await items()
