"""Every answer: its form, its id, and the reference that describes it."""

import httpx
import pytest

from tests.conftest import Shop


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/products/unknown", 404),
        ("PATCH", "/v1/products", 405),
        ("GET", "/v1/products?limit=many", 400),
        ("GET", "/v1/products?limit=0", 400),
        ("GET", "/v1/products?cursor=%21%21", 400),
        ("POST", "/v1/imports?kind=cars&format=csv", 400),
        ("POST", "/v1/imports?kind=products", 400),
        ("POST", "/v1/imports?kind=events&format=csv&mode=full", 422),
    ],
)
async def test_every_refusal_is_problem_json_with_the_id_of_the_request(
    shop: Shop, method: str, path: str, status: int
) -> None:
    answer = await shop.api.request(method, path)

    problem = answer.json()
    assert answer.status_code == status == problem["status"]
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"] == f"urn:aisle:problem:{problem['code']}"
    assert problem["detail"]


async def test_a_wrong_parameter_is_named(shop: Shop) -> None:
    answer = await shop.get("/v1/products", limit=0)

    assert answer.json()["detail"] == "limit must be at least 1"


async def test_a_wrong_field_of_a_typed_body_is_named_and_pointed_at(shop: Shop) -> None:
    answer = await shop.post("/v1/recommendations", {"placement": "for-you", "limit": "many"})

    assert answer.status_code == 400
    assert answer.json()["pointer"] == "/limit"
    assert answer.json()["detail"] == "limit must be a whole number, not text"


async def test_answers_have_ids_of_their_own(shop: Shop) -> None:
    ids = [(await shop.get("/v1/products")).headers["x-request-id"] for _ in range(3)]

    assert len(set(ids)) == 3


async def test_the_reference_describes_the_api(anyone: httpx.AsyncClient) -> None:
    reference = (await anyone.get("/schema/openapi.json")).json()

    assert reference["openapi"].startswith("3.1")
    assert reference["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path in ("/v1/products", "/v1/customers", "/v1/inventory", "/v1/imports", "/v1/events"):
        content = reference["paths"][path]["post"]["requestBody"]["content"]
        assert any("example" in media_type for media_type in content.values()), path
    refusals = reference["paths"]["/v1/products"]["get"]["responses"]
    for status in ("400", "401", "429", "503"):
        content = refusals[status]["content"]["application/problem+json"]
        assert content["schema"]["$ref"].endswith("/Problem")
    assert (await anyone.get("/schema")).status_code == 200


async def test_a_ready_process_says_so(anyone: httpx.AsyncClient) -> None:
    assert (await anyone.get("/health/ready")).json() == {"status": "ready"}
