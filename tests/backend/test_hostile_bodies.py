"""Bodies made to hurt: each is refused quickly, in words, and without filling the memory."""

import gzip
import tracemalloc
import zlib

import pytest

from tests.conftest import Shop

PRODUCT = b'{"product_id":"p1","title":"T"}'
MEGABYTE = 1024**2


async def post(shop: Shop, content: bytes, encoding: str = "gzip"):  # noqa: ANN201 - as httpx
    return await shop.api.post(
        "/v1/products", content=content, headers={"content-encoding": encoding}
    )


@pytest.mark.parametrize(
    "content",
    [gzip.compress(PRODUCT), gzip.compress(PRODUCT[:9]) + gzip.compress(PRODUCT[9:])],
    ids=["one member", "two members"],
)
async def test_a_gzipped_body_is_read(shop: Shop, content: bytes) -> None:
    answer = await post(shop, content)

    assert answer.json()["results"] == [{"status": "created", "id": "p1"}]


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(MEGABYTE)
    return b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()


@pytest.mark.parametrize("path", ["/v1/products", "/v1/events", "/v1/recommendations"])
async def test_a_gzip_bomb_does_not_go_off(shop: Shop, path: str) -> None:
    content = bomb(200)
    tracemalloc.start()

    answer = await shop.api.post(
        path, content=content, headers={"content-encoding": "gzip", "content-type": "text/json"}
    )

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 413
    assert peak < 25 * MEGABYTE


@pytest.mark.parametrize(
    ("content", "encoding", "status"),
    [
        (gzip.compress(PRODUCT)[:-4], "gzip", 400),
        (b"not gzip", "gzip", 400),
        (b"", "gzip", 400),
        (PRODUCT, "br", 415),
        (PRODUCT, "gzip, gzip", 415),
        (PRODUCT, "identity", 200),
    ],
)
async def test_what_cannot_be_decompressed_is_refused(
    shop: Shop, content: bytes, encoding: str, status: int
) -> None:
    assert (await post(shop, content, encoding)).status_code == status


async def test_a_body_over_the_limit_is_refused(shop: Shop) -> None:
    answer = await shop.api.post("/v1/products", content=b'{"title":"' + b"x" * 6 * MEGABYTE)

    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


DEEP = 200_000


@pytest.mark.parametrize("path", ["/v1/products", "/v1/customers", "/v1/inventory", "/v1/events"])
@pytest.mark.parametrize(
    "content",
    [
        b"[" * DEEP,
        b'{"a":' * DEEP,
        b'{"products":[{"product_id":"a","attributes":' + b'{"a":' * DEEP,
        b"\xff\xfe\x00",
        b"\x00",
        b"",
        b"null",
        b"3",
        b'"text"',
        b"{",
    ],
)
async def test_what_is_not_a_row_is_refused_in_words(shop: Shop, path: str, content: bytes) -> None:
    answer = await shop.api.post(path, content=content)

    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_deep_json_in_a_typed_body_is_refused(shop: Shop) -> None:
    content = b'{"placement":' + b"[" * DEEP

    answer = await shop.api.post(
        "/v1/recommendations", content=content, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 400
    assert "deep" in answer.json()["detail"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_nan_is_refused_with_its_place(shop: Shop, number: str) -> None:
    content = b'{"products":[{"product_id":"a","title":"A"},{"product_id":"b","price_cents":%s}]}'

    answer = await shop.api.post("/v1/products", content=content % number.encode())

    assert answer.status_code == 400
    assert answer.json()["pointer"] == "/products/1/price_cents"
    assert (await shop.get("/v1/products")).json()["products"] == []


async def test_a_title_may_speak_of_nan(shop: Shop) -> None:
    answer = await shop.post("/v1/products", {"product_id": "n", "title": "NaN bread"})

    assert answer.json()["accepted"] == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("product_id", ["%00", "a%00b", "x" * 10_000])
async def test_a_strange_id_in_a_path_is_no_accident(
    shop: Shop, method: str, product_id: str
) -> None:
    body = {"title": "T"} if method == "PUT" else None

    answer = await shop.api.request(method, f"/v1/products/{product_id}", json=body)

    assert answer.status_code in {400, 404}


@pytest.mark.parametrize("depth", [100, 500, 900, 1100])
async def test_deep_attributes_are_kept_or_refused(shop: Shop, depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    content = b'{"product_id":"a","title":"A","attributes":%s}' % deep

    answer = await shop.api.post("/v1/products", content=content)

    assert answer.status_code in {200, 400}, answer.text


@pytest.mark.parametrize("number", ["1" * 30, "1" * 5000, "-0", "1e308", "1e999"])
async def test_strange_numbers_are_kept_or_refused(shop: Shop, number: str) -> None:
    content = b'{"product_id":"a","title":"A","attributes":{"n":%s}}' % number.encode()

    answer = await shop.api.post("/v1/products", content=content)

    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][0]["status"] in {"created", "rejected"}


async def test_half_a_surrogate_is_refused(shop: Shop) -> None:
    answer = await shop.api.post("/v1/products", content=b'{"product_id":"a","title":"\\ud800"}')

    assert answer.status_code in {200, 400}
    assert (await shop.get("/v1/products")).json()["products"] == []
