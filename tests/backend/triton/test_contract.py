"""One engine behind either backend: what holds for the one holds for the other."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest

from backend.inference import EmbeddedBackend, Inference, ReleaseUnusable
from backend.recommend.live_catalog import LiveCatalog
from backend.triton.backend import TritonBackend
from backend.triton.breaker import CircuitBreaker
from backend.triton.client import TritonClient
from infra.local.triton_server import LocalTriton
from ml.serving.arrivals import with_arrivals
from ml.serving.engine import UnknownProduct, recommend
from ml.serving.release import load_release
from ml.serving.request import EngineAnswer, EngineRequest, Interaction, Purchase
from tests.backend.events.helping import until
from tests.backend.recommend.rows import catalog_of, row
from tests.ml.small_release import NOW_S, PRODUCTS, write_small_release
from tests.ml.worded_release import write_worded_release

Ask = Callable[[EngineRequest], Awaitable[EngineAnswer]]
PATIENCE_S = 10.0


@pytest.fixture
def releases(installation_dir: Path) -> Path:
    return installation_dir / "objects" / "releases"


@pytest.fixture(params=["embedded", "triton"])
async def backend(request: pytest.FixtureRequest, releases: Path) -> AsyncIterator[Inference]:
    def locate(tenant_id: str, release_id: str) -> Path:
        return releases / tenant_id / release_id

    if request.param == "embedded":
        opened = EmbeddedBackend(locate)
    else:
        server: LocalTriton = request.getfixturevalue("triton")
        client = TritonClient(server.url)
        opened = TritonBackend(client, locate, PATIENCE_S, CircuitBreaker("Triton"))
    yield opened
    await opened.close()


@pytest.fixture
def tenant_id() -> UUID:
    return uuid4()


def selling(*names: str) -> LiveCatalog:
    return catalog_of(*(row(name, title="green tea" if name == "tea" else name) for name in names))


def viewed(*names: str) -> list[Interaction]:
    return [
        Interaction(product_id=name, kind="view", occurred_at_s=NOW_S - 60 * (age + 1))
        for age, name in enumerate(names)
    ]


BOUGHT = [
    Purchase(product_id="p02", times=3, last_s=NOW_S - 9e6, first_s=NOW_S - 2e7, strength=2.0)
]
REQUESTS = {
    "nobody": EngineRequest(now_s=NOW_S, limit=12),
    "a visitor": EngineRequest(now_s=NOW_S, limit=5, recent=viewed("p04", "p09", "unheard of")),
    "a customer": EngineRequest(now_s=NOW_S, limit=12, recent=viewed("p04"), bought=BOUGHT),
    "who buys again": EngineRequest(now_s=NOW_S, limit=12, mode="repeat", bought=BOUGHT),
    "a market": EngineRequest(now_s=NOW_S, limit=3, market="DE", device="mobile", traits=["a=b"]),
    "beside a product": EngineRequest(now_s=NOW_S, limit=12, similar_to="p03"),
    "beside a cart": EngineRequest(now_s=NOW_S, limit=12, goes_with=["p03", "p07", "unheard of"]),
    "a chart": EngineRequest(now_s=NOW_S, limit=12, ranked_by="trending", market="DE"),
    "what is due": EngineRequest(
        now_s=NOW_S, limit=12, ranked_by="habit", mode="repeat", bought=BOUGHT
    ),
    "a list": EngineRequest(
        now_s=NOW_S, limit=25, recent=viewed("p04"), among=["p08", "p01", "unheard of"]
    ),
    "some blocked": EngineRequest(
        now_s=NOW_S, limit=12, blocked=np.array([n % 3 == 0 for n in range(12)])
    ),
    "all blocked": EngineRequest(now_s=NOW_S, limit=12, blocked=np.ones(12, bool)),
    "some promoted": EngineRequest(
        now_s=NOW_S,
        limit=12,
        recent=viewed("p04"),
        promoted=frozenset({"p11", "unheard of"}),
        promotion_threshold=0.0,
    ),
}


def assert_same(given: EngineAnswer, expected: EngineAnswer) -> None:
    assert [i.product_id for i in given.items] == [i.product_id for i in expected.items]
    assert [(i.reason, i.because_of) for i in given.items] == [
        (i.reason, i.because_of) for i in expected.items
    ]
    scores = [item.score for item in given.items]
    assert scores == pytest.approx([item.score for item in expected.items], abs=1e-5)
    assert given.served_by == expected.served_by
    assert given.release_id == expected.release_id
    assert given.calibrated == expected.calibrated
    assert given.stage_us.keys() == expected.stage_us.keys()


@pytest.mark.parametrize("who", REQUESTS)
@pytest.mark.parametrize("champion", ["own-models", "ease"])
async def test_an_answer_is_the_engines_own(
    backend: Inference, releases: Path, tenant_id: UUID, who: str, champion: str
) -> None:
    folder = write_small_release(releases / str(tenant_id), "r1", champion, str(tenant_id))

    release = await backend.release(tenant_id, "r1", LiveCatalog())
    given = await backend.recommend(release, REQUESTS[who])

    assert_same(given, recommend(load_release(folder), REQUESTS[who]))
    assert all(math.isfinite(item.score) for item in given.items)


async def test_a_product_newer_than_the_release_is_unknown(
    backend: Inference, releases: Path, tenant_id: UUID
) -> None:
    write_small_release(releases / str(tenant_id), "r1", tenant_id=str(tenant_id))
    release = await backend.release(tenant_id, "r1", LiveCatalog())

    with pytest.raises(UnknownProduct):
        await backend.recommend(
            release, EngineRequest(now_s=NOW_S, limit=3, similar_to="unheard of")
        )


async def test_a_release_lists_its_products_in_the_order_of_the_mask(
    backend: Inference, releases: Path, tenant_id: UUID
) -> None:
    write_small_release(releases / str(tenant_id), "r1", tenant_id=str(tenant_id))

    release = await backend.release(tenant_id, "r1", LiveCatalog())

    assert release.product_ids == PRODUCTS
    assert release.index == {name: place for place, name in enumerate(PRODUCTS)}
    assert release.release_id == "r1"


@pytest.mark.parametrize(
    "broken", ["items.msgpack", "ranker.onnx", "manifest.json", "popularity.msgpack"]
)
async def test_a_broken_release_is_refused(
    backend: Inference, releases: Path, tenant_id: UUID, broken: str
) -> None:
    folder = write_small_release(releases / str(tenant_id), "r1", tenant_id=str(tenant_id))
    (folder / broken).write_bytes(b"broken")

    async def ask() -> None:
        release = await backend.release(tenant_id, "r1", LiveCatalog())
        await backend.recommend(release, REQUESTS["nobody"])

    with pytest.raises(ReleaseUnusable):
        await ask()


@pytest.mark.parametrize("name", ["absent", "..", "../r1", "a/b"])
async def test_a_release_that_is_not_there_is_refused_in_words_that_name_no_folder(
    backend: Inference, releases: Path, tenant_id: UUID, name: str
) -> None:
    with pytest.raises(ReleaseUnusable) as refused:
        await backend.release(tenant_id, name, LiveCatalog())

    assert str(releases) not in str(refused.value)


async def test_arrivals_join_behind_the_answers_and_are_ranked_by_their_words(
    backend: Inference, releases: Path, tenant_id: UUID
) -> None:
    folder = write_worded_release(releases / str(tenant_id), "r1", str(tenant_id))
    catalog = selling(*PRODUCTS, "tea", "spoon")
    own = load_release(folder)
    wider = with_arrivals(own, catalog.arrivals(own).products)
    first = await backend.release(tenant_id, "r1", catalog)
    assert first.product_ids == PRODUCTS
    assert (await backend.recommend(first, REQUESTS["nobody"])).items

    async def knows_tea() -> bool:
        return "tea" in (await backend.release(tenant_id, "r1", catalog)).index

    await until(knows_tea)
    release = await backend.release(tenant_id, "r1", catalog)
    assert release.product_ids == wider.product_ids
    for request in (
        EngineRequest(now_s=NOW_S, limit=14, recent=viewed("p00", "p01")),
        EngineRequest(now_s=NOW_S, limit=5, similar_to="tea"),
        EngineRequest(
            now_s=NOW_S, limit=14, blocked=np.array([n == wider.index["tea"] for n in range(14)])
        ),
    ):
        assert_same(await backend.recommend(release, request), recommend(wider, request))


async def test_tenants_with_equal_ids_never_mix(
    backend: Inference, releases: Path, tenant_id: UUID
) -> None:
    other_id = uuid4()
    write_small_release(releases / str(tenant_id), "r1", "own-models", str(tenant_id))
    write_small_release(releases / str(other_id), "r1", "ease", str(other_id))
    request = REQUESTS["a visitor"]

    async def served_by(tenant: UUID) -> str:
        release = await backend.release(tenant, "r1", LiveCatalog())
        return (await backend.recommend(release, request)).served_by

    answers = await asyncio.gather(
        *(served_by(tenant) for _ in range(20) for tenant in (tenant_id, other_id))
    )

    assert answers == ["own-models", "ease"] * 20
