"""How well each kind of ranker tells liked from disliked, on answers that people really gave.

The rankers are the product's own, trained by `ml.ranking.train_ranker`; the cuts, and the peers'
scores, are those of a separate harness. Settings were chosen on the validation rows.
"""

import os
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple, get_args

from msgspec import Struct, structs
from rich import box
from rich.console import Console
from rich.table import Table

from ml import metrics
from ml.calibration import probabilities
from ml.networks import NetworkKind
from ml.ranking import RankerConfig, train_ranker
from tests.eval.click_sets import ClickSet, journey, movielens
from tests.eval.raw import DATA, is_present

KINDS: tuple[NetworkKind, ...] = get_args(NetworkKind)
DEFAULT: NetworkKind = "dlrm"


class ClickResult(Struct, frozen=True, kw_only=True):
    """Of the test rows; `curve` holds train_loss, valid_loss and valid_auc per epoch."""

    dataset: str
    model: str
    auc: float
    auc_new: float | None
    """Among products the shopper had never bought before."""
    logloss: float
    ece: float
    curve: dict[str, list[float]]
    seconds: float


class Peer(NamedTuple):
    """Scores of another method on the same cut."""

    name: str
    auc: float
    logloss: float | None
    auc_new: float | None = None


class Task(NamedTuple):
    read: Callable[[], ClickSet]
    config: RankerConfig
    peers: list[Peer]


TASKS = {
    "movielens_1m": Task(
        movielens,
        RankerConfig(
            pointwise=1.0,
            groups_at_once=2048,
            epochs=4,
            dim=32,
            mixtures=16,
            top=(256, 128),
            dropout=0.3,
            weight_decay=3.0,
        ),
        [
            Peer("logistic regression, one-hot", 0.8672, 0.3528),
            Peer("gradient boosting, means", 0.8735, 0.3447),
            Peer("DCN, as published on another cut", 0.8935, 0.3197),
        ],
    ),
    "complete_journey_dev": Task(
        journey,
        RankerConfig(
            pointwise=1.0,
            groups_at_once=512,
            epochs=6,
            learning_rate=5e-4,
            dim=8,
            top=(128, 64),
            dropout=0.3,
            weight_decay=4.0,
        ),
        [
            Peer("popularity", 0.853, None, 0.786),
            Peer("gradient boosting", 0.9086, 0.165, 0.8340),
        ],
    ),
}


def run(console: Console) -> list[ClickResult]:
    """Train and judge each kind that MODELS names on each data set that is here."""
    models = chosen_models(os.environ.get("MODELS", ""))
    results: list[ClickResult] = []
    for dataset, task in TASKS.items():
        if not is_present(dataset):
            console.print(f"[yellow]{dataset}: skipped, its files are not in {DATA}[/yellow]")
            continue
        rows = task.read()
        found = [judge(dataset, rows, structs.replace(task.config, kind=m)) for m in models]
        console.print(table_of(dataset, found))
        results += found
    return results


def judge(dataset: str, rows: ClickSet, config: RankerConfig) -> ClickResult:
    started = monotonic()
    ranker = train_ranker(rows.train, rows.valid, config, lambda _fraction, _figures: None)
    promised = probabilities(ranker.calibration, ranker.logits(rows.test))
    label, new = rows.test.label, rows.unseen
    return ClickResult(
        dataset=dataset,
        model=config.kind,
        auc=metrics.auc(label, promised),
        auc_new=None if new is None else metrics.auc(label[new], promised[new]),
        logloss=metrics.log_loss(label, promised),
        ece=metrics.calibration_error(label, promised),
        curve={name: ranker.curve[name] for name in ("train_loss", "valid_loss", "valid_auc")},
        seconds=monotonic() - started,
    )


def chosen_models(wish: str) -> list[NetworkKind]:
    """all, or names between commas; the default where nothing is wished. Raises ValueError."""
    if wish == "all":
        return list(KINDS)
    names = wish.replace(",", " ").split()
    if not set(names) <= set(KINDS):
        raise ValueError(f"MODELS is all, or some of {', '.join(KINDS)}")
    return [kind for name in names for kind in KINDS if kind == name] or [DEFAULT]


def table_of(dataset: str, results: list[ClickResult]) -> Table:
    table = Table(title=f"{dataset}, real answers", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("model", no_wrap=True)
    for name in ("AUC", "never bought", "logloss", "ECE", "seconds"):
        table.add_column(name, justify="right")
    for peer in TASKS[dataset].peers:
        table.add_row(
            peer.name, _number(peer.auc), _number(peer.auc_new), _number(peer.logloss), "", ""
        )
    table.add_section()
    for result in results:
        figures = (result.auc, result.auc_new, result.logloss, result.ece)
        table.add_row(
            f"Aisle, {result.model}",
            *(_number(figure) for figure in figures),
            f"{result.seconds:.0f}",
            style="bold",
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
