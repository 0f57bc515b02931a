"""One training of the product on one shop, as a merchant would have it done, in its own process."""

import functools
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray
from rich.console import Console

from tests.eval.folders import write_folder
from tests.eval.grading import Lists, Mode, Split, lists_of, split_at
from tests.eval.raw import CUTS, Cut, Purchases, purchases

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = CHECKOUT / "build" / "eval"
FIRST_SEED = 17
By = Literal["shoppers", "events"]
Stage = Literal["test", "validation"]


class TrainingFailed(Exception):
    """The message holds its last words."""


class Sample(NamedTuple):
    """A smaller shop cut from a data set; the whole of it at share 1."""

    dataset: str
    share: float = 1.0
    by: By = "shoppers"
    draw: int = 0
    """Which of several samples; those by shoppers have no shopper in common."""
    stage: Stage = "test"
    """Choices are made on `validation`, the period before."""

    @property
    def name(self) -> str:
        part = "" if self.share == 1.0 else f"-{self.share:g}-{self.by}-{self.draw}"
        return f"{self.dataset}{part}" + ("" if self.stage == "test" else f"-{self.stage}")

    @property
    def cut(self) -> Cut:
        cut = CUTS[self.dataset]
        return cut if self.stage == "test" else cut.one_earlier()


class Gate(Struct, frozen=True):
    """What is read of `metrics.json`: who serves, and why."""

    champion: str
    repeat_champion: str
    verdict: str


class Validation(Struct, frozen=True):
    gate: Gate


class Summary(Struct, frozen=True):
    validation: Validation
    seconds: float
    peak_mib: float
    """Of reading, training and publishing, as are the seconds."""


class Trial(NamedTuple):
    """One shop, trained with one seed, and everybody answered."""

    split: Split
    lists: dict[str, Lists]
    """By mode."""
    seed: int
    summary: Summary
    seconds: float
    shop: Path
    """The data as it was handed over."""
    out: Path
    """What `aisle evaluate` wrote."""


def chosen_lines(sample: Sample, bought: Purchases) -> NDArray[np.bool_]:
    """(lines,). By shoppers: all that some shoppers bought. By events: every line by chance."""
    if sample.by == "events":
        seed = [7, sample.draw, round(1 / sample.share)]
        return np.random.default_rng(seed).random(len(bought.ts)) < sample.share
    users, of_line = np.unique(bought.user.astype(str), return_inverse=True)
    place = np.random.default_rng(7).permutation(len(users)) / len(users)
    start = sample.draw * sample.share
    return ((place >= start) & (place < start + sample.share))[of_line]


@functools.cache
def trial(sample: Sample, seed: int, console: Console) -> Trial:
    """Write the shop, run `aisle evaluate`, read its lists. Raises TrainingFailed."""
    folder = BUILD / "runs" / sample.name
    bought = purchases(sample.dataset)
    keep = chosen_lines(sample, bought)
    write_folder(sample.dataset, folder / "shop", keep)
    out = folder / f"seed-{seed}"
    console.print(f"  {sample.name}, seed {seed}: {keep.sum():,} events, training and answering")
    seconds = _train(folder / "shop", out, sample.cut, seed)
    return Trial(
        split=split_at(bought.rows(keep), sample.cut.test, sample.cut.until),
        lists=read_lists(out / "recommendations.parquet"),
        seed=seed,
        summary=msgspec.json.decode((out / "metrics.json").read_bytes(), type=Summary),
        seconds=seconds,
        shop=folder / "shop",
        out=out,
    )


def _train(shop: Path, out: Path, cut: Cut, seed: int) -> float:
    """Seconds of the whole process: reading, training, answering everybody."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / "evaluate.log"
    started_at = time.monotonic()
    with log.open("wb") as output:
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "ml.evaluate", str(shop), "--seed", str(seed)),
                *("--validate-from", _iso(cut.validate), "--test-from", _iso(cut.test)),
                *("--test-until", _iso(cut.until), "--out", str(out)),
            ],
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if ended.returncode != 0:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise TrainingFailed(f"ml.evaluate ended with {ended.returncode}, {log}:\n{last}")
    return time.monotonic() - started_at


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def read_lists(path: Path) -> dict[str, Lists]:
    rows = pq.ParquetFile(path).read(columns=["customer_id", "mode", "rank", "product_id"])
    columns: dict[str, tuple[list[str], list[int], list[str]]] = defaultdict(lambda: ([], [], []))
    for customer, mode, rank, product in zip(
        *(rows[name].to_pylist() for name in rows.column_names), strict=True
    ):
        for column, value in zip(columns[mode], (customer, rank, product), strict=True):
            column.append(value)
    modes: tuple[Mode, ...] = ("new", "repeat")
    return {mode: lists_of(*columns[mode]) for mode in modes}
