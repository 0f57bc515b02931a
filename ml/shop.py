"""A data set as arrays: one shop's products, shoppers and behaviour, by position."""

from typing import NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ml.dataset import Dataset
from ml.interactions import KIND_INDEX, KIND_WEIGHT, InteractionLog
from ml.serving.traits import Device
from ml.traits import Traits, shopper_traits

SLOT = r'"(?:slot|position)"\s*:\s*(?P<slot>\d{1,9})\b'
"""Where the context of an impression says at which place, from 1, the product was shown."""
LAST_SLOT = 1000
DEVICE = r'"device"\s*:\s*"(?P<device>\w{1,20})"'
"""Where the context of an event says what the shopper held."""


class Exposures(NamedTuple):
    """What the shop showed, in the order of time; every array has shape (impressions,)."""

    shopper: NDArray[np.int32]
    item: NDArray[np.int32]
    ts: NDArray[np.int64]
    slot: NDArray[np.int16]
    """Place on the page, from 1; 0 is unknown."""

    def between(self, start_s: int, end_s: int) -> "Exposures":
        """Impressions in [start_s, end_s)."""
        first, last = np.searchsorted(self.ts, [start_s, end_s], side="left")
        rows = slice(int(first), int(last))
        return Exposures(self.shopper[rows], self.item[rows], self.ts[rows], self.slot[rows])


class Shop(NamedTuple):
    """Positions in `product_ids` and `shopper_ids` are what every array of the shop refers to."""

    products: pa.Table
    product_ids: list[str]
    shopper_ids: list[str]
    """Customers, then anonymous sessions written as `session:<id>`."""
    n_customers: int
    markets: list[str]
    """Position 0 is the unknown market."""
    shopper_market: NDArray[np.int16]
    traits: Traits
    log: InteractionLog
    unknown_events: int
    """Events left out because their product is not in the catalogue."""
    exposures: Exposures
    kind_weight: NDArray[np.float32] = KIND_WEIGHT
    """(kinds,): what `log.weight` was made of."""

    def with_kind_weight(self, kind_weight: NDArray[np.float32]) -> "Shop":
        log = self.log._replace(weight=kind_weight[self.log.kind])
        return self._replace(log=log, kind_weight=kind_weight)


def build_shop(dataset: Dataset) -> Shop:
    """Join events with the catalogue; an event without a known product or a shopper is left out."""
    products = _unique_products(dataset.products)
    product_ids = [str(product_id) for product_id in products["product_id"].to_pylist()]
    events = dataset.events
    item = _positions(events["product_id"], product_ids)
    kind = _positions(events["type"], list(KIND_INDEX))
    customer_ids, session_ids = _shopper_ids(events)
    shopper = _shoppers(events, customer_ids, session_ids)
    shopper_ids = customer_ids + [f"session:{session}" for session in session_ids]
    markets, shopper_market = _markets(dataset.customers, shopper_ids)
    ts = events["occurred_at"].to_numpy().astype("datetime64[s]").astype(np.int64)
    known = (item >= 0) & (kind >= 0) & (shopper >= 0)
    order = _in_time(events)
    order = order[known[order]]
    log = InteractionLog(
        shopper=shopper[order],
        item=item[order],
        kind=kind[order].astype(np.int8),
        ts=ts[order],
        market=shopper_market[shopper[order]],
        device=_devices(events["context"])[order],
        weight=KIND_WEIGHT[kind[order]],
    )
    return Shop(
        products=products,
        product_ids=product_ids,
        shopper_ids=shopper_ids,
        n_customers=len(customer_ids),
        markets=markets,
        shopper_market=shopper_market,
        traits=shopper_traits(dataset.customers, shopper_ids),
        log=log,
        unknown_events=int((item < 0).sum()),
        exposures=_exposures(events, log, order),
    )


def _exposures(events: pa.Table, log: InteractionLog, order: NDArray[np.intp]) -> Exposures:
    """order: the row of `events` behind each event of the log."""
    shown = log.kind == KIND_INDEX["impression"]
    context = events["context"].take(order[shown])
    found = pc.call_function("extract_regex", [context], pc.ExtractRegexOptions(SLOT))
    slots = np.array([int(match["slot"]) if match else 0 for match in found.to_pylist()], np.int64)
    return Exposures(
        shopper=log.shopper[shown],
        item=log.item[shown],
        ts=log.ts[shown],
        slot=np.minimum(slots, LAST_SLOT).astype(np.int16),
    )


def _devices(context: pa.ChunkedArray) -> NDArray[np.int8]:
    """(events,): positions in `ml.serving.traits.DEVICES`."""
    found = pc.call_function("extract_regex", [context], pc.ExtractRegexOptions(DEVICE))
    names = pc.struct_field(found, [0])
    return (_positions(names, list(get_args(Device))) + 1).astype(np.int8)


def _in_time(events: pa.Table) -> NDArray[np.int64]:
    """Rows by second; inside a second the later comes first, as in a history, then by event id.

    It is the order in which the backend reads a history: a basket is no sequence, and the same
    in training and serving.
    """
    moments = events["occurred_at"].cast(pa.int64())
    seconds = moments.cast(pa.timestamp("us")).cast(pa.timestamp("s"), safe=False)
    keys = pa.Table.from_arrays(
        [seconds, moments, events["event_id"]], names=["second", "inside", "id"]
    )
    return pc.sort_indices(
        keys,
        sort_keys=[("second", "ascending"), ("inside", "descending"), ("id", "ascending")],
    ).to_numpy()


def _unique_products(products: pa.Table) -> pa.Table:
    """The last row of each product id, in the order of ids: positions never depend on row order."""
    ids = products["product_id"]
    newest = np.full(len(ids), -1)
    _, inverse = np.unique(ids.to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    newest[inverse] = np.arange(len(ids))
    return products.take(newest[newest >= 0].tolist())


def _shopper_ids(events: pa.Table) -> tuple[list[str], list[str]]:
    """Sorted customers, and sorted sessions of events without a customer."""
    anonymous = events.filter(pc.field("customer_id").is_null())["session_id"]
    return _distinct(events["customer_id"]), _distinct(anonymous)


def _shoppers(
    events: pa.Table, customer_ids: list[str], session_ids: list[str]
) -> NDArray[np.int32]:
    """Position of each event's shopper, customers before sessions; -1 for nobody."""
    customer = _positions(events["customer_id"], customer_ids)
    session = _positions(events["session_id"], session_ids)
    session[session >= 0] += len(customer_ids)
    return np.where(customer >= 0, customer, session)


def _distinct(values: pa.ChunkedArray) -> list[str]:
    return sorted({str(value) for value in values.drop_null().to_pylist()})


def _positions(values: pa.ChunkedArray, within: list[str]) -> NDArray[np.int32]:
    """Position of each value in `within`, -1 where absent."""
    found = pc.index_in(values, value_set=pa.array(within, pa.string()))
    return found.fill_null(-1).to_numpy().astype(np.int32)


def _markets(customers: pa.Table, shopper_ids: list[str]) -> tuple[list[str], NDArray[np.int16]]:
    names = _distinct(customers["country"])
    row = _positions(
        pa.chunked_array([pa.array(shopper_ids, pa.string())]),
        [str(customer) for customer in customers["customer_id"].to_pylist()],
    )
    code = _positions(customers["country"], names) + 1
    market = np.zeros(len(shopper_ids), np.int16)
    market[row >= 0] = code[row[row >= 0]]
    return ["", *names], market
