"""Which products a release lists, in order: all that a process needs that lets others answer."""

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from ml.release import read_manifest, read_verified
from ml.serving.arrivals import Arrivals
from ml.serving.shelf import ReleaseKey, Shelf
from ml.serving.tables_files import ITEMS, Items

CAPACITY_BYTES = 256 * 1024 * 1024
BYTES_PER_PRODUCT = 200
"""An id, and its place in a list and a dictionary; roughly."""


class Listing(Struct, frozen=True, kw_only=True):
    """A release as it can be asked now."""

    key: ReleaseKey
    product_ids: list[str]
    index: dict[str, int]
    arrivals: str = ""
    """Token of those that end `product_ids`."""

    @property
    def release_id(self) -> str:
        return self.key[1]

    def followed_by(self, arrivals: Arrivals) -> "Listing":
        """The order in which the engine takes them in: see `ml.serving.arrivals`."""
        fresh = [name for name, _ in arrivals.products if name not in self.index]
        return listing_of(self.key, [*self.product_ids, *fresh], arrivals.token)


class Listings(Struct, frozen=True):
    own: Listing
    """As the release was made."""
    wider: Listing
    """With the arrivals that the server is known to know."""

    @property
    def nbytes(self) -> int:
        return BYTES_PER_PRODUCT * (len(self.own.product_ids) + len(self.wider.product_ids))


def listing_of(key: ReleaseKey, product_ids: list[str], arrivals: str = "") -> Listing:
    index = {name: position for position, name in enumerate(product_ids)}
    return Listing(key=key, product_ids=product_ids, index=index, arrivals=arrivals)


def open_listings(locate: Callable[[str, str], Path]) -> Shelf[Listings]:
    def read(key: ReleaseKey) -> Listings:
        folder = locate(*key)
        data = read_verified(folder, read_manifest(folder), ITEMS)
        listing = listing_of(key, msgspec.msgpack.decode(data, type=Items).product_ids)
        return Listings(listing, listing)

    return Shelf(read, CAPACITY_BYTES)
