"""Customers through HTTP."""

from tests.conftest import Shop

ANN = {"customer_id": "ann", "country": "DE", "attributes": {"club": True}}


async def test_customers_are_created_replaced_and_read(shop: Shop) -> None:
    first = await shop.post("/v1/customers", {"customers": [ANN, {"customer_id": "bob"}]})
    second = await shop.post("/v1/customers", {"customers": [ANN, {"customer_id": "bob"}]})
    put = await shop.api.put("/v1/customers/bob", json={"country": "FR"})

    assert [row["status"] for row in first.json()["results"]] == ["created", "created"]
    assert [row["status"] for row in second.json()["results"]] == ["unchanged", "unchanged"]
    assert put.json() == {"status": "updated", "id": "bob"}
    kept = (await shop.get("/v1/customers/ann")).json()
    assert {name: kept[name] for name in ANN} == ANN


async def test_a_wrong_customer_is_rejected_alone(shop: Shop) -> None:
    rows = [{"customer_id": "ann", "country": "Germany"}, {"customer_id": "bob"}]

    answer = await shop.post("/v1/customers", {"customers": rows})

    wrong, good = answer.json()["results"]
    assert wrong["pointer"] == "/customers/0/country"
    assert wrong["message"] == "country must be two capital letters, such as DE"
    assert good["status"] == "created"


async def test_a_customer_is_forgotten(shop: Shop) -> None:
    await shop.post("/v1/customers", ANN)

    assert (await shop.api.delete("/v1/customers/ann")).json()["status"] == "deleted"
    assert (await shop.get("/v1/customers/ann")).status_code == 404
    assert (await shop.api.delete("/v1/customers/ann")).status_code == 404


async def test_customers_are_listed_page_by_page(shop: Shop) -> None:
    ids = [f"c{number}" for number in range(5)]
    await shop.post("/v1/customers", {"customers": [{"customer_id": one} for one in ids]})

    page = (await shop.get("/v1/customers", limit=3)).json()
    rest = (await shop.get("/v1/customers", limit=3, cursor=page["next_cursor"])).json()

    assert [one["customer_id"] for one in page["customers"] + rest["customers"]] == ids
    assert rest["next_cursor"] is None
