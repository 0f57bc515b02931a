"""The next product of anonymous visits: trained and answered by the product, graded here.

Every choice of every later visit is a question: the visit so far goes into the engine that
serves, and the answer's 20 products are looked through for the next one. The full catalogue is
ranked. `python -m tests.eval.sessions DATASET FOLDER` answers one data set.
"""

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console

from ml.dataset import read_dataset
from ml.progress import bars
from ml.publish import Destination, publish
from ml.serving.engine import LoadedRelease, load_release, recommend
from ml.serving.request import EngineRequest, Interaction
from ml.serving.shopper import LONGEST_HISTORY
from ml.shop import build_shop
from ml.train import Cuts, TrainConfig, train_shop
from tests.eval.markdown import Part, table
from tests.eval.raw import DATA, day, is_present, read
from tests.eval.running import BUILD, CHECKOUT, TrainingFailed

TOP = 20
CLICK_S = 10
"""Between two clicks of a visit, where the data has their order alone."""
DIGINETICA_START_S = day("2016-01-01")
DIGINETICA_TEST_S = day("2016-05-25")
"""The clock of the CIKM Cup's five months; its last week is the test."""
ESHOP_TEST_S = day("2008-07-31")
CATEGORIES = {1: "Trousers", 2: "Skirts", 3: "Blouses", 4: "Sale"}


class Peer(NamedTuple):
    name: str
    hit: float
    mrr: float


class Question(NamedTuple):
    seen: Sequence[int]
    """Products of the visit so far, oldest first."""
    wanted: int


class Visits(NamedTuple):
    """A data set: what to learn from, and what to ask."""

    products: pa.Table
    events: pa.Table
    questions: list[Question]
    test_s: int
    may_repeat: bool
    """Whether the page being looked at may be the next one."""


class SessionResult(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole process: reading, training, publishing, and answering every question."""

    dataset: str
    questions: int
    hit: float
    mrr: float
    coverage: float
    champion: str
    train_seconds: float
    answer_ms: float
    """Mean time of one request."""
    peak_mib: int
    validation: dict[str, tuple[float, float]]
    """Method → hit and MRR on the shop's own later visits, before the test."""


PEERS: dict[str, tuple[Peer, ...]] = {
    "diginetica_sessions": (
        Peer("popularity", 0.0093, 0.0021),
        Peer("item cosine, last item", 0.3531, 0.1116),
        Peer("sequential rules", 0.3354, 0.1112),
        Peer("STAN", 0.5107, 0.1816),
        Peer("V-SKNN", 0.5179, 0.1828),
    ),
    "eshop_clothing_2008": (
        Peer("popularity", 0.2417, 0.0512),
        Peer("item cosine, last item", 0.6650, 0.2097),
        Peer("V-SKNN", 0.5335, 0.1152),
        Peer("STAN", 0.6378, 0.1423),
        Peer("sequential rules", 0.6965, 0.2604),
    ),
}
"""Measured on the same split with the same questions, on two CPU cores."""


def diginetica() -> Visits:
    """The file's order is its time: visits are spread evenly over the months before the test."""
    sessions = read("diginetica_sessions", "train_sessions")["items"].combine_chunks()
    starts = sessions.offsets.to_numpy().astype(np.int64)
    item = sessions.values.to_numpy()
    length = np.diff(starts)
    span_s = DIGINETICA_TEST_S - DIGINETICA_START_S - 3_600
    begins_s = DIGINETICA_START_S + np.arange(len(length)) * span_s // len(length)
    place = np.arange(len(item)) - np.repeat(starts[:-1], length)
    ts = np.repeat(begins_s, length) + place * CLICK_S
    tests = read("diginetica_sessions", "test_prefixes")
    prefixes = zip(tests["prefix"].to_pylist(), tests["target"].to_pylist(), strict=True)
    return Visits(
        products=_products(np.unique(item)),
        events=_events(np.repeat(np.arange(len(length)), length), item, ts),
        questions=[Question(seen, wanted) for seen, wanted in prefixes],
        test_s=DIGINETICA_TEST_S,
        may_repeat=True,
    )


def eshop() -> Visits:
    """Days are known, and the order of the clicks: the visits of a day begin a minute apart.

    A reload of the page is no question, and the page itself no answer.
    """
    clicks = read("eshop_clothing_2008", "clicks")
    date_s = clicks["date"].to_numpy().astype("datetime64[s]").astype(np.int64)
    session, place = clicks["session_id"].to_numpy(), clicks["order"].to_numpy()
    order = np.lexsort((place, session, date_s))
    date_s, session = date_s[order], session[order]
    item = clicks["clothing_model"].to_numpy()[order]
    begins = np.r_[True, session[1:] != session[:-1]]
    starts = np.flatnonzero(begins)
    length = np.diff(np.r_[starts, len(session)])
    of_day = np.arange(len(starts)) - np.searchsorted(date_s[starts], date_s[starts])
    in_visit = np.arange(len(session)) - np.repeat(starts, length)
    ts = date_s + np.repeat(of_day, length) * 60 + in_visit * CLICK_S
    later = np.repeat(date_s[starts + length - 1] >= ESHOP_TEST_S, length)
    visits = np.split(item, starts[1:])
    questions = [
        Question(visit[:j].tolist(), int(visit[j]))
        for visit, is_later in zip(visits, later[starts], strict=True)
        if is_later
        for j in range(1, len(visit))
        if visit[j] != visit[j - 1]
    ]
    return Visits(
        products=_clothes(clicks),
        events=_events(session[~later], item[~later], ts[~later]),
        questions=questions,
        test_s=ESHOP_TEST_S,
        may_repeat=False,
    )


DATASETS = {"diginetica_sessions": diginetica, "eshop_clothing_2008": eshop}


def _products(ids: NDArray[np.integer]) -> pa.Table:
    names = [str(item) for item in ids]
    return pa.table({"product_id": names, "title": [f"Product {name}" for name in names]})


def _clothes(clicks: pa.Table) -> pa.Table:
    models, first = np.unique(clicks["clothing_model"].to_numpy(), return_index=True)
    category, colour, price = (
        clicks[name].to_numpy()[first] for name in ("main_category", "colour", "price")
    )
    rows = zip(models, category, colour, strict=True)
    return (
        _products(models)
        .append_column(
            "category", pa.array([f"{CATEGORIES[c]} > Colour {shade}" for _, c, shade in rows])
        )
        .append_column("price_cents", pa.array(price.astype(np.int64) * 100))
    )


def _events(
    session: NDArray[np.integer], item: NDArray[np.integer], ts: NDArray[np.int64]
) -> pa.Table:
    return pa.table(
        {
            "event_id": [str(row) for row in range(len(item))],
            "type": ["view"] * len(item),
            "session_id": pa.array(session).cast(pa.string()),
            "product_id": pa.array(item).cast(pa.string()),
            "occurred_at": pa.array(ts * 1_000_000).cast(pa.timestamp("us", tz="UTC")),
        }
    )


def run(dataset: str, console: Console) -> Sequence[SessionResult]:
    """In a process of its own. Raises TrainingFailed."""
    if not is_present(dataset):
        console.print(f"[yellow]{dataset}: skipped, its files are not in {DATA}[/yellow]")
        return []
    folder = BUILD / dataset
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "evaluate.log"
    console.print(f"  training and answering; log: {log.relative_to(CHECKOUT)}")
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "tests.eval.sessions", dataset, str(folder)],
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise TrainingFailed("\n".join(log.read_text(errors="replace").splitlines()[-15:]))
    result = msgspec.json.decode((folder / "sessions.json").read_bytes(), type=SessionResult)
    console.print(session_section([result], folder).text)
    return [result]


def session_section(rows: Sequence[SessionResult], folder: Path) -> Part:
    """Peers and what was served, one table per data set; no plot."""
    header = ("method", "hit@20", "MRR@20", "coverage", "train s", "ms", "MiB")
    texts: list[str] = []
    for row in rows:
        peers = [
            (peer.name, f"{peer.hit:.4f}", f"{peer.mrr:.4f}", "", "", "", "")
            for peer in PEERS[row.dataset]
        ]
        ours = ("**Aisle, as served**", f"{row.hit:.4f}", f"{row.mrr:.4f}", f"{row.coverage:.3f}")
        cost = (f"{row.train_seconds:.0f}", f"{row.answer_ms:.1f}", str(row.peak_mib))
        texts.append(
            f"`{row.dataset}`, {row.questions:,} questions; champion of the validation: "
            f"{row.champion or 'none'}."
        )
        texts.append(table(header, [*peers, (*ours, *cost)]))
    return Part("\n\n".join(texts), [])


def answer(dataset: str, folder: Path) -> SessionResult:
    """Train on what is before the test, ask every question of the engine that serves."""

    visits = DATASETS[dataset]()
    shop_folder = folder / "shop"
    shop_folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(visits.products, shop_folder / "products.parquet", compression="zstd")
    pq.write_table(visits.events, shop_folder / "events.parquet", compression="zstd")
    begun = time.monotonic()
    shop = build_shop(read_dataset(shop_folder))
    if int(shop.log.ts[-1]) >= visits.test_s:
        raise ValueError("an event of the test period is among those to learn from")
    releases = folder / "out" / "releases"
    shutil.rmtree(releases, ignore_errors=True)
    place = Destination(tenant_id="evaluation", release_id="before-test", releases=releases)
    with bars(Console(stderr=True)) as report:
        publish(shop, train_shop(shop, Cuts.of_log(shop.log), TrainConfig(), report), place, report)
    trained_s = time.monotonic() - begun
    release = load_release(place.folder)
    begun = time.monotonic()
    ranks, shown = _asked(release, visits)
    answered_s = time.monotonic() - begun
    contest = release.manifest.metrics.sessions
    return SessionResult(
        dataset=dataset,
        questions=len(ranks),
        hit=float((ranks > 0).mean()),
        mrr=float(np.where(ranks > 0, 1 / np.maximum(ranks, 1), 0).mean()),
        coverage=len(shown) / len(shop.product_ids),
        champion=contest.champion if contest else "",
        train_seconds=round(trained_s, 1),
        answer_ms=1000 * answered_s / len(ranks),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        validation={row.name: (row.hit, row.mrr) for row in contest.scores} if contest else {},
    )


def _asked(release: LoadedRelease, visits: Visits) -> tuple[NDArray[np.int64], set[str]]:
    """Rank of the next product per question, 0 where it is not listed; every product shown."""

    now_s = float(visits.test_s + 3_600)
    ranks = np.zeros(len(visits.questions), np.int64)
    shown: set[str] = set()
    for row, question in enumerate(visits.questions):
        newest = question.seen[::-1][:LONGEST_HISTORY]
        blocked = None
        if not visits.may_repeat:
            blocked = np.zeros(len(release.product_ids), bool)
            blocked[release.index[str(newest[0])]] = True
        recent = [
            Interaction(product_id=str(item), kind="view", occurred_at_s=now_s - CLICK_S * step)
            for step, item in enumerate(newest)
        ]
        request = EngineRequest(now_s=now_s, limit=TOP, recent=recent, blocked=blocked)
        listed = [item.product_id for item in recommend(release, request).items]
        shown.update(listed)
        if str(question.wanted) in listed:
            ranks[row] = listed.index(str(question.wanted)) + 1
    return ranks, shown


if __name__ == "__main__":
    where = Path(sys.argv[2])
    found = answer(sys.argv[1], where)
    (where / "sessions.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    print(found)
