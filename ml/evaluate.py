"""`aisle evaluate`: train on what is before T, answer everybody who buys after it, as served.

Every answer comes from the engine that serves, reading the release from disk.
"""

import argparse
import resource
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import get_args

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct
from rich.console import Console

from ml.anatomy import write_anatomy
from ml.comparison import quality_of_lists
from ml.dataset import DatasetRejected, read_dataset
from ml.interactions import KIND_INDEX, KINDS
from ml.networks import NetworkKind
from ml.progress import Report, bars, part
from ml.publish import Destination, publish
from ml.ranking_set import LIST_LENGTH, Truth, later_choices
from ml.release import Metrics
from ml.serving.engine import LoadedRelease, load_release, recommend
from ml.serving.request import EngineRequest, Interaction, Mode, Purchase, strength_at
from ml.serving.shopper import Shopper, ShopperBook
from ml.serving.traits import DEVICES
from ml.shop import Shop, build_shop
from ml.train import TrainConfig, train_shop
from ml.trainers import Trainer
from ml.windows import MODES, Cuts

DAY_S = 86_400
ANSWERS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("mode", pa.string()),
        ("rank", pa.int64()),
        ("product_id", pa.string()),
        ("score", pa.float64()),
    ]
)
"""`recommendations.parquet`."""


def main() -> None:
    arguments = _arguments()
    console = Console(stderr=True)
    try:
        evaluate(
            arguments.folder,
            Moments(
                validate_from_s=_seconds(arguments.validate_from),
                test_from_s=_seconds(arguments.test_from),
                test_until_s=_seconds(arguments.test_until),
            ),
            arguments.out,
            TrainConfig()
            .with_seed(arguments.seed)
            .with_models(arguments.ranker, arguments.trainer),
            console,
        )
    except DatasetRejected as error:
        console.print(f"[red]{error}[/red]")
        sys.exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="aisle evaluate", description=__doc__)
    parser.add_argument("folder", type=Path, help="products, customers, events: docs/import.md")
    parser.add_argument("--validate-from", required=True, metavar="V", help="ISO 8601, UTC")
    parser.add_argument("--test-from", required=True, metavar="T")
    parser.add_argument("--test-until", required=True, metavar="E")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--seed", type=int, default=TrainConfig().seed, metavar="N")
    kinds: tuple[str, ...] = (*get_args(NetworkKind), "two-tower")
    parser.add_argument("--ranker", choices=kinds, default="dlrm", help="default: %(default)s")
    parser.add_argument("--trainer", choices=get_args(Trainer), default="merlin")
    return parser.parse_args()


def _seconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


class Moments(Struct, frozen=True, kw_only=True):
    """V, T and E in Unix seconds."""

    validate_from_s: int
    test_from_s: int
    test_until_s: int


class Evaluation(Struct, frozen=True, kw_only=True):
    """`metrics.json`."""

    verdict: str
    served: dict[str, dict[str, float]]
    """Mode → NDCG@20, Recall@20 and coverage@20 of what was served in [T, E)."""
    customers: int
    seconds: float
    """Reading, training and publishing."""
    peak_mib: float
    """Of the same."""
    validation: Metrics


def evaluate(
    folder: Path, moments: Moments, out: Path, config: TrainConfig, console: Console
) -> None:
    """Write `metrics.json`, `recommendations.parquet` and the tables of `ml.anatomy` to `out`.

    Recommendations are for every customer who buys in [T, E), also those without a history, who
    are in no figure of `metrics.json`. Raises DatasetRejected.
    """
    started = monotonic()
    shop = build_shop(read_dataset(folder))
    now_s, until_s = moments.test_from_s, moments.test_until_s
    before = shop._replace(log=shop.log.before(now_s))
    cuts = Cuts.of_validation(before.log, moments.validate_from_s, now_s)
    releases = out / "releases"
    shutil.rmtree(releases, ignore_errors=True)
    place = Destination(tenant_id="evaluation", release_id=f"at-{now_s}", releases=releases)
    with bars(console) as report:
        publish(before, train_shop(before, cuts, config, report), place, report)
        seconds = monotonic() - started
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        release = load_release(place.folder)
        truth = _truth(shop, now_s, until_s)
        newcomers = _truth(shop, now_s, until_s, known=False)
        answers = answer_everybody(release, before, truth, now_s, report)
        unknown = answer_everybody(release, before, newcomers, now_s, report)
        shoppers = _shoppers(before, truth, now_s)
        write_anatomy(release, shoppers, out, part(report, "anatomy", 0.0, 1.0))
    pq.write_table(pa.concat_tables([answers, unknown]), out / "recommendations.parquet")
    summary = Evaluation(
        verdict=release.manifest.metrics.gate.verdict,
        served={mode: _graded(answers, before, truth, now_s, mode) for mode in MODES},
        customers=len(truth.shoppers),
        seconds=round(seconds, 1),
        peak_mib=peak_mib,
        validation=release.manifest.metrics,
    )
    (out / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)))
    console.print(summary.verdict)
    for mode, figures in summary.served.items():
        console.print(mode, "  ".join(f"{name} {value:.4f}" for name, value in figures.items()))


def _graded(
    answers: pa.Table, before: Shop, truth: Truth, now_s: int, mode: Mode
) -> dict[str, float]:
    """Of customers with something to find in this mode."""
    book = ShopperBook(before.log, before.traits.of_shopper, now_s)
    row_of = {before.shopper_ids[p]: row for row, p in enumerate(truth.shoppers)}
    index = {product_id: position for position, product_id in enumerate(before.product_ids)}
    lists = np.full((len(row_of), LIST_LENGTH), -1, np.int64)
    mine = answers.filter(pc.field("mode") == mode).to_pylist()
    for answer in mine:
        lists[row_of[answer["customer_id"]], answer["rank"] - 1] = index[answer["product_id"]]
    wanted = list(truth.items)
    if mode == "new":
        wanted = [
            np.setdiff1d(items, book.shopper(int(p), 0).bought)
            for p, items in zip(truth.shoppers, wanted, strict=True)
        ]
    relevant = np.array([len(items) for items in wanted])
    hits = np.array([np.isin(row, items) for row, items in zip(lists, wanted, strict=True)])
    some = relevant > 0
    quality = quality_of_lists(lists[some], hits[some], relevant[some], len(index))
    return {
        "ndcg@20": float(quality.ndcg.mean()),
        "recall@20": float(quality.recall.mean()),
        "coverage@20": quality.coverage,
        "customers": float(some.sum()),
    }


def _truth(shop: Shop, start_s: int, until_s: int, *, known: bool = True) -> Truth:
    """What customers known before T, or those not known, bought in [T, E)."""
    asked = np.full(len(shop.shopper_ids), not known)
    asked[shop.log.before(start_s).shopper] = known
    asked[shop.n_customers :] = False
    return later_choices(shop.log, start_s, until_s, KIND_INDEX["purchase"], asked)


def _shoppers(before: Shop, truth: Truth, now_s: int) -> list[tuple[str, Shopper]]:
    book = ShopperBook(before.log, before.traits.of_shopper, now_s)
    return [
        (before.shopper_ids[p], book.shopper(int(p), int(before.shopper_market[p])))
        for p in truth.shoppers
    ]


def answer_everybody(
    release: LoadedRelease, before: Shop, truth: Truth, now_s: int, report: Report
) -> pa.Table:
    book = ShopperBook(before.log, before.traits.of_shopper, now_s)
    rows: list[tuple[str, Mode, int, str, float]] = []
    for done, position in enumerate(truth.shoppers):
        shopper = book.shopper(int(position), int(before.shopper_market[position]))
        for mode in MODES:
            request = request_of(shopper, before, now_s, mode)
            answer = recommend(release, request)
            rows.extend(
                (before.shopper_ids[position], mode, rank, item.product_id, item.score)
                for rank, item in enumerate(answer.items, start=1)
            )
        report("answers", (done + 1) / len(truth.shoppers), {})
    columns = zip(*rows, strict=True) if rows else [()] * len(ANSWERS)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, ANSWERS.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=ANSWERS)


def request_of(shopper: Shopper, shop: Shop, now_s: int, mode: Mode) -> EngineRequest:
    """What the API would ask the engine for this shopper at this moment."""
    return EngineRequest(
        now_s=now_s,
        limit=LIST_LENGTH,
        mode=mode,
        recent=[
            Interaction(
                product_id=shop.product_ids[item],
                kind=KINDS[kind],
                occurred_at_s=now_s - float(age) * DAY_S,
            )
            for item, kind, age in zip(shopper.items, shopper.kinds, shopper.ages, strict=True)
        ],
        bought=[
            Purchase(
                product_id=shop.product_ids[item],
                times=int(times),
                last_s=now_s - float(age) * DAY_S,
                first_s=now_s - float(first_age) * DAY_S,
                strength=float(strength) / strength_at(now_s, now_s - float(age) * DAY_S),
            )
            for item, times, age, first_age, strength in zip(
                shopper.bought,
                shopper.bought_times,
                shopper.bought_ages,
                shopper.bought_first_ages,
                shopper.bought_strength,
                strict=True,
            )
        ],
        market=shop.markets[shopper.market] or None,
        traits=[shop.traits.names[row] for row in shopper.traits if row],
        device=DEVICES[shopper.device],
    )


if __name__ == "__main__":
    main()
