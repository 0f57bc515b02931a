"""Releases widened by products that arrived after them; nobody waits while that is made."""

import asyncio
import contextlib
import logging
from collections import OrderedDict

from msgspec import Struct

from backend.recommend.live_catalog import LiveCatalog, remember
from backend.tenancy import TenantId
from ml.serving.arrivals import Arrival, with_arrivals
from ml.serving.product_text import ProductText
from ml.serving.release import LoadedRelease

logger = logging.getLogger(__name__)

KEPT_RELEASES = 32

ReleaseKey = tuple[TenantId, str]


class Widened(Struct, frozen=True):
    product_ids: list[str]
    """The arrivals, as the catalogue listed them."""
    release: LoadedRelease


class Arrivals:
    """Keeps the widened releases of the shops that were asked for last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[ReleaseKey, Widened] = OrderedDict()
        self._making: dict[ReleaseKey, asyncio.Task[None]] = {}

    def widened(
        self, tenant_id: TenantId, release: LoadedRelease, catalog: LiveCatalog
    ) -> LoadedRelease:
        """The release as it was last widened; what arrived since joins a moment later."""
        key = (tenant_id, release.release_id)
        arrived = catalog.arrivals(release)
        kept = self._kept.get(key)
        current = kept is not None and kept.product_ids is arrived
        if arrived and not current and key not in self._making:
            told = [arrival_of(name, catalog) for name in arrived]
            self._making[key] = asyncio.create_task(self._make(key, release, arrived, told))
        return release if kept is None else kept.release

    async def close(self) -> None:
        for task in list(self._making.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _make(
        self, key: ReleaseKey, release: LoadedRelease, arrived: list[str], told: list[Arrival]
    ) -> None:
        try:
            wider = await asyncio.to_thread(with_arrivals, release, told)
        except Exception:
            # Not tried again before the next arrival: the release answers without them.
            logger.exception("release %s could not be widened", release.release_id)
            wider = release
        finally:
            del self._making[key]
        remember(self._kept, key, Widened(arrived, wider), KEPT_RELEASES)


def arrival_of(product_id: str, catalog: LiveCatalog) -> Arrival:
    product = catalog.products[product_id]
    text = ProductText(title=product.title, category=product.category, brand=product.brand)
    return Arrival(product_id, text)
