"""`cold`: a tenth of a shop's products lose their past and are ranked among themselves."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from ml.dataset import read_dataset
from ml.evaluate import request_of
from ml.progress import bars
from ml.publish import Destination, publish
from ml.serving.engine import load_release, recommend
from ml.serving.shopper import ShopperBook
from ml.shop import Shop, build_shop
from ml.train import TrainConfig, train_shop
from ml.windows import Cuts
from tests.eval.folders import write_folder
from tests.eval.markdown import TITLES, Part, table, value
from tests.eval.peers import Peer
from tests.eval.raw import CUTS, DATA, Purchases, is_present, purchases
from tests.eval.running import Stage

TOP = 20
SHARE = 10
"""One product in so many."""
SEED, VALIDATION_SEED = 7, 11
NUMBERED = {"complete_journey_dev", "movielens_1m"}
"""Products are in the order of their numbers before they are drawn, elsewhere of their names."""
PEERS = {
    "uci_online_retail": (
        Peer("random order", 0.0264, 0.0595),
        Peer("content profile", 0.1074, 0.1892),
    ),
    "complete_journey_dev": (
        Peer("random order", 0.0017, 0.0042),
        Peer("content profile", 0.0107, 0.0201),
    ),
    "movielens_1m": (
        Peer("random order", 0.0370, 0.0649),
        Peer("content profile", 0.0601, 0.0997),
    ),
}


class ColdResult(msgspec.Struct, frozen=True, kw_only=True):
    dataset: str
    products: int
    """Without a past."""
    shoppers: int
    """Who bought one of them, for the first time, in the period."""
    recall: float
    ndcg: float
    served_by: str
    verdict: str


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is withheld and who is asked."""

    cold: frozenset[str]
    wanted: dict[str, frozenset[str]]
    """Shopper → cold products bought in the period for the first time."""


def run(console: Console) -> list[ColdResult]:
    """With STAGE=validation the period before the test is graded, and nothing kept of it."""
    stage: Stage = "validation" if os.environ.get("STAGE") == "validation" else "test"
    wanted = os.environ.get("DATASETS", "").replace(",", " ").split() or list(PEERS)
    results: list[ColdResult] = []
    for dataset in wanted:
        if not is_present(dataset):
            console.print(f"[yellow]{dataset}: skipped, its files are not in {DATA}[/yellow]")
            continue
        results.append(evaluate(dataset, console, stage))
        console.print(table_of(results[-1]))
    return results if stage == "test" else []


def evaluate(dataset: str, console: Console, stage: Stage) -> ColdResult:
    """Train without the past of the cold products, ask the engine that serves, grade."""
    cut = CUTS[dataset]
    window_s = cut.test - cut.validate
    if stage == "validation":
        start_s, end_s, seed = cut.validate, cut.test, VALIDATION_SEED
    else:
        start_s, end_s, seed = cut.test, cut.until, SEED
    question = withhold(dataset, purchases(dataset), start_s, end_s, seed)
    folder = Path("build") / "eval" / f"{dataset}-cold"
    write_folder(dataset, folder / "shop")
    shop = without_past(build_shop(read_dataset(folder / "shop")), question.cold, start_s)
    cuts = Cuts.of_validation(shop.log, start_s - window_s, start_s)
    place = Destination(tenant_id="evaluation", release_id="cold", releases=folder / "releases")
    shutil.rmtree(place.folder, ignore_errors=True)
    with bars(console) as report:
        publish(shop, train_shop(shop, cuts, TrainConfig(), report), place, report)
    return answer(dataset, question, shop, place.folder, start_s)


def withhold(dataset: str, log: Purchases, start_s: int, end_s: int, seed: int) -> Question:
    """Draw the cold products among those that sold before `start_s`."""
    before = log.ts < start_s
    sold = sorted(set(log.item[before]), key=int if dataset in NUMBERED else str)
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(sold), len(sold) // SHARE, replace=False)
    cold = frozenset(sold[place] for place in drawn)
    owned = set(zip(log.user[before], log.item[before], strict=True))
    known = set(log.user[before])
    during = ~before & (log.ts < end_s)
    wanted: dict[str, set[str]] = {}
    for user, item in zip(log.user[during], log.item[during], strict=True):
        if item in cold and user in known and (user, item) not in owned:
            wanted.setdefault(user, set()).add(item)
    return Question(cold=cold, wanted={user: frozenset(items) for user, items in wanted.items()})


def without_past(shop: Shop, cold: frozenset[str], start_s: int) -> Shop:
    is_cold = np.array([name in cold for name in shop.product_ids])
    log = shop.log.before(start_s)
    return shop._replace(log=log.rows(~is_cold[log.item]))


def answer(dataset: str, question: Question, shop: Shop, folder: Path, now_s: int) -> ColdResult:
    release = load_release(folder)
    book = ShopperBook(shop.log, shop.traits.of_shopper, now_s)
    position = {name: place for place, name in enumerate(shop.shopper_ids)}
    blocked = np.array([name not in question.cold for name in release.product_ids])
    recall: list[float] = []
    ndcg: list[float] = []
    served_by: list[str] = []
    for user, wanted in question.wanted.items():
        shopper = book.shopper(position[user], int(shop.shopper_market[position[user]]))
        request = msgspec.structs.replace(request_of(shopper, shop, now_s, "new"), blocked=blocked)
        found = recommend(release, request)
        shown = [item.product_id for item in found.items]
        if len(set(shown)) != len(shown) or not question.cold.issuperset(shown):
            raise ValueError(f"{user} was shown a product twice, or one that was not asked about")
        hit = np.array([name in wanted for name in shown[:TOP]], np.float64)
        recall.append(hit.sum() / len(wanted))
        ndcg.append((hit * discount(len(hit))).sum() / discount(min(len(wanted), TOP)).sum())
        served_by.append(found.served_by)
    return ColdResult(
        dataset=dataset,
        products=len(question.cold),
        shoppers=len(recall),
        recall=float(np.mean(recall)),
        ndcg=float(np.mean(ndcg)),
        served_by=", ".join(sorted(set(served_by))),
        verdict=release.manifest.metrics.gate.verdict,
    )


def discount(length: int) -> NDArray[np.float64]:
    return 1 / np.log2(np.arange(2, length + 2))


def table_of(result: ColdResult) -> Table:
    title = (
        f"{result.dataset}, {result.products} products without a past, {result.shoppers} shoppers"
    )
    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left")
    shown.caption = f"Ranked among themselves, lists of {TOP}. {result.verdict}"
    shown.add_column("method", no_wrap=True)
    shown.add_column("recall", justify="right")
    shown.add_column("NDCG", justify="right")
    for peer in PEERS[result.dataset]:
        shown.add_row(peer.name, f"{peer.recall:.4f}", f"{peer.ndcg:.4f}")
    shown.add_section()
    ours = f"Aisle, as served ({result.served_by})"
    shown.add_row(ours, f"{result.recall:.4f}", f"{result.ndcg:.4f}", style="bold")
    return shown


def cold_section(rows: Sequence[ColdResult], _: Path) -> Part:
    """Our rows beside the peers' of the same draw."""
    texts: list[str] = []
    for row in rows:
        beside = [(peer.name, peer.recall, peer.ndcg) for peer in PEERS[row.dataset]]
        ours = (f"**Aisle, as served ({row.served_by})**", row.recall, row.ndcg)
        texts += [
            f"### {TITLES[row.dataset]}",
            f"{row.products:,} products without a past, ranked among themselves for "
            f"{row.shoppers:,} shoppers who bought one of them for the first time.",
            table(
                ["method", f"recall@{TOP}", f"NDCG@{TOP}"],
                [[name, value(recall), value(ndcg)] for name, recall, ndcg in [*beside, ours]],
            ),
        ]
    return Part("\n\n".join(texts), [])
