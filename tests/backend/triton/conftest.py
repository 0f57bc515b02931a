"""Web processes that ask a server of their own, which a test may kill."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs

from backend.app import create_app
from backend.settings import Settings
from infra.local.triton_server import LocalTriton
from tests.backend.recommend.asking import sells_everything
from tests.backend.recommend.conftest import Serve, serve_release
from tests.conftest import Shop, client_of

__all__ = ["serve_release"]

MISBEHAVING = Path(__file__).with_name("misbehaving")

Through = Callable[..., AbstractAsyncContextManager[Shop]]


@pytest.fixture
def fragile(triton: LocalTriton, installation_dir: Path, tmp_path: Path) -> Iterator[LocalTriton]:
    """The same releases on a server of this test alone."""
    server = LocalTriton(tmp_path, installation_dir / "objects" / "releases")
    server.start()
    yield server
    server.kill()
    server.remove()


@pytest.fixture(scope="module")
def misbehaving(
    triton: LocalTriton, installation_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalTriton]:
    """Does what `misbehave` says."""
    folder = tmp_path_factory.mktemp("misbehaving")
    server = LocalTriton(folder, installation_dir / "objects" / "releases", MISBEHAVING)
    server.start()
    yield server
    server.kill()
    server.remove()


@pytest.fixture
def misbehave(installation_dir: Path) -> Iterator[Callable[[str], None]]:
    """Names of ways are in misbehaving/recommend/1/model.py; "" is good."""
    said = installation_dir / "objects" / "misbehaviour"

    def say(way: str) -> None:
        said.write_text(way)

    say("")
    yield say
    say("")


@pytest.fixture
def through(settings: Settings, shop: Shop, serve_release: Serve) -> Through:
    """The shop, with a release in service, as a web process sees it that asks this server."""

    @asynccontextmanager
    async def open_web(server: LocalTriton, deadline_ms: int = 150) -> AsyncIterator[Shop]:
        await sells_everything(shop)
        await serve_release(shop)
        asking = structs.replace(
            settings,
            aisle_inference="triton",
            aisle_triton_url=server.url,
            aisle_triton_deadline_ms=deadline_ms,
        )
        app = create_app(asking)
        async with app.lifespan(), client_of(app, shop.secret_key) as api:
            yield structs.replace(shop, api=api)

    return open_web
