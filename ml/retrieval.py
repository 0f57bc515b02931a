"""The two towers: shoppers at a moment and products as vectors whose product is the affinity."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.features import ItemFeatures
from ml.histories import HISTORY_LENGTH, Histories, build_histories, tower_inputs_of
from ml.interactions import KINDS, InteractionLog
from ml.merlin_adapter import build_mlp, build_table, quiet, slim
from ml.networks import ItemTower, QuerySizes, QueryTower
from ml.onnx_files import export_onnx

ROWS_AT_ONCE = 4_096
REPORTS = 50
HELD_OUT_SHOPPERS = 500
INPUTS = ("recent_items", "recent_ages", "recent_kinds", "context")


class TowerConfig(Struct, frozen=True, kw_only=True):
    seed: int = 17
    threads: int = 1
    dim: int = 64
    field_dim: int = 16
    hidden: tuple[int, ...] = (128,)
    heads: int = 3
    batch_size: int = 1_024
    learning_rate: float = 2e-3
    temperature: float = 0.1
    max_samples: int = 400_000
    """Positive events drawn in one training."""
    samples_per_event: float = 6.0
    """At most so many draws for each event there is, lest small shops be learned by heart."""
    warm_share: float = 0.4
    """Of the draws, where training continues from earlier towers."""
    half_life_days: float = 60.0
    """Of an event's chance to be drawn."""
    forget_item: float = 0.1
    """How often a product is shown to the item tower by its content alone."""
    repeat_weight: float = 0.3
    """Chance to be drawn of a choice the shopper had made before, relative to a new one."""


class Towers(nn.Module):
    """Both towers; they share the table of items."""

    def __init__(self, query: QueryTower, item: ItemTower) -> None:
        super().__init__()
        self.query = query
        self.item = item


class TrainedTowers(NamedTuple):
    item_vectors: NDArray[np.float32]
    """(items, dim), L2-normalised."""
    towers: Towers
    """In plain torch; what a later training may start from."""
    metrics: dict[str, float]
    """recall@100 of last choices that were held out, and loss."""
    curve: dict[str, list[float]]

    def query_vectors(self, inputs: dict[str, NDArray]) -> NDArray[np.float32]:
        """(B, dim), L2-normalised. inputs: as those of `query_tower.onnx`."""
        found = [np.zeros((0, self.item_vectors.shape[1]), np.float32)]
        with torch.no_grad():
            for start in range(0, len(inputs["context"]), ROWS_AT_ONCE):
                rows = slice(start, start + ROWS_AT_ONCE)
                batch = (torch.from_numpy(np.ascontiguousarray(inputs[n][rows])) for n in INPUTS)
                found.append(self.towers.query(*batch).numpy())
        return np.concatenate(found)

    def encode_items(self, items: ItemFeatures) -> NDArray[np.float32]:
        """Vectors, (n, dim), of products that came after training, by their content."""
        unknown = np.full(len(items.codes), self.towers.query.sizes.items + 1)
        return _encode(self.towers.item, unknown, items)

    def export(self, folder: Path) -> None:
        """Write `query_tower.onnx`."""
        whole = torch.zeros(2, HISTORY_LENGTH, dtype=torch.long)
        example = {
            "recent_items": whole,
            "recent_ages": torch.zeros(2, HISTORY_LENGTH),
            "recent_kinds": whole,
            "context": torch.zeros(2, 3, dtype=torch.long),
        }
        export_onnx(self.towers.query, example, "vector", folder / "query_tower.onnx")


def train_two_tower(
    log: InteractionLog,
    items: ItemFeatures,
    config: TowerConfig,
    progress: Callable[[float, dict[str, float]], None],
    warm_start: TrainedTowers | None = None,
) -> TrainedTowers:
    """Fit both towers on every event that speaks for a product, recent ones more often.

    In-batch sampled softmax with the logQ correction (Yi et al. 2019, RecSys). warm_start: towers
    of the same catalogue. Equal seed and data give equal vectors on one machine. Raises ValueError
    for towers of another catalogue.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    n_items = len(items.codes)
    histories = build_histories(log)
    n_markets = int(log.market.max(initial=0)) + 1
    with quiet():
        towers = _build(n_items, n_markets, items, config)
        if warm_start is not None:
            _continue_from(towers, warm_start.towers)
        held, chance = _split(histories, config, rng)
        draws = int(min(config.max_samples, config.samples_per_event * np.count_nonzero(chance)))
        if warm_start is not None:
            draws = int(draws * config.warm_share)
        trainer = _Training(towers, histories, items, chance, held, config)
        curve = trainer.run(max(draws, config.batch_size), rng, progress)
    plain = _slim_towers(towers)
    seen = np.bincount(log.item, minlength=n_items) > 0
    rows = np.where(seen, np.arange(1, n_items + 1), n_items + 1)
    final = {name: values[-1] for name, values in curve.items() if values}
    return TrainedTowers(_encode(plain.item, rows, items), plain, final, curve)


def _build(n_items: int, n_markets: int, items: ItemFeatures, config: TowerConfig) -> Towers:
    table = build_table(n_items + 2, config.dim)
    sizes = QuerySizes(n_items, len(KINDS), config.heads, n_markets)
    small = 8
    query = QueryTower(
        items=table,
        hours=build_table(24, small),
        weekdays=build_table(7, small),
        markets=build_table(max(n_markets, 2), small),
        mlp=build_mlp(config.heads * config.dim + 1 + 3 * small, config.hidden, config.dim),
        sizes=sizes,
    )
    content = items.codes.shape[1] * config.field_dim + items.dense.shape[1]
    item = ItemTower(
        items=table,
        fields=build_table(max(sum(items.cardinalities), 2), config.field_dim),
        mlp=build_mlp(config.dim + content, config.hidden, config.dim),
        cardinalities=items.cardinalities,
    )
    return Towers(query, item)


def _slim_towers(towers: Towers) -> Towers:
    query, item = towers.query, towers.item
    table = slim(query.items)
    plain = Towers(
        QueryTower(
            table,
            slim(query.hours),
            slim(query.weekdays),
            slim(query.markets),
            slim(query.mlp),
            query.sizes,
        ),
        ItemTower(table, slim(item.fields), slim(item.mlp), (1,)),
    )
    with torch.no_grad():
        plain.query.kind_weight.copy_(query.kind_weight)
        plain.query.fading.copy_(query.fading)
    plain.item.first_row = item.first_row
    return plain.eval()


def _continue_from(towers: Towers, earlier: Towers) -> None:
    mine, theirs = list(towers.parameters()), list(earlier.parameters())
    if [p.shape for p in mine] != [p.shape for p in theirs]:
        raise ValueError("the towers to start from belong to another catalogue or shape")
    with torch.no_grad():
        for parameter, known in zip(mine, theirs, strict=True):
            parameter.copy_(known)


def _split(
    histories: Histories, config: TowerConfig, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Held-out events, and each event's chance to be drawn: (events,), 0 for the held-out.

    Held out are new choices in the last baskets of some shoppers; at most one shopper in twenty.
    """
    log = histories.log
    shoppers = np.unique(log.shopper)
    most = min(HELD_OUT_SHOPPERS, len(shoppers) // 20)
    chosen = np.isin(log.shopper, rng.permutation(shoppers)[:most])
    last = chosen & histories.in_last_basket & (histories.length > 0)
    age_days = (int(log.ts.max()) - log.ts) / 86_400
    chance = np.maximum(log.weight, 0) * 0.5 ** (age_days / config.half_life_days)
    chance = chance * np.where(histories.is_repeat, config.repeat_weight, 1.0)
    chance[last] = 0
    return np.flatnonzero(last & ~histories.is_repeat & (log.weight > 0)), chance


class _Training:
    """One run over one shop's histories."""

    def __init__(
        self,
        towers: Towers,
        histories: Histories,
        items: ItemFeatures,
        chance: NDArray[np.float64],
        held: NDArray[np.intp],
        config: TowerConfig,
    ) -> None:
        self.towers, self.histories, self.config, self.held = towers, histories, config, held
        self.cumulated = np.cumsum(chance / chance.sum())
        share = np.bincount(histories.log.item, chance, len(items.codes))
        self.log_q = torch.from_numpy(np.log(share / share.sum() + 1e-12).astype(np.float32))
        self.items = items
        self.codes = torch.from_numpy(items.codes.astype(np.int64))
        self.dense = torch.from_numpy(items.dense)
        self.unknown = len(items.codes) + 1
        self.optimizer = torch.optim.Adam(towers.parameters(), config.learning_rate, fused=True)

    def run(
        self,
        draws: int,
        rng: np.random.Generator,
        progress: Callable[[float, dict[str, float]], None],
    ) -> dict[str, list[float]]:
        """Take `draws` samples in batches; the learning rate falls to a tenth."""
        steps = max(1, draws // self.config.batch_size)
        every = max(1, steps // REPORTS)
        curve: dict[str, list[float]] = {"loss": [], "recall@100": []}
        losses: list[float] = []
        for step in range(steps):
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.learning_rate * (1 - 0.9 * step / steps)
            rows = np.searchsorted(self.cumulated, rng.random(self.config.batch_size))
            losses.append(self._step(rows.clip(max=len(self.cumulated) - 1), rng))
            if (step + 1) % every == 0 or step + 1 == steps:
                curve["loss"].append(float(np.mean(losses[-every:])))
                if (step + 1) % (every * 10) == 0 or step + 1 == steps:
                    curve["recall@100"].append(self._recall())
                progress((step + 1) / steps, {n: v[-1] for n, v in curve.items() if v})
        return curve

    def _step(self, rows: NDArray[np.intp], rng: np.random.Generator) -> float:
        target = torch.from_numpy(self.histories.log.item[rows].astype(np.int64))
        forgotten = torch.from_numpy(rng.random(len(rows)) < self.config.forget_item)
        identity = torch.where(forgotten, self.unknown, target + 1)
        vectors = self.towers.item(identity, self.codes[target], self.dense[target])
        queries = self.towers.query(*self._inputs(rows))
        loss = in_batch_loss(queries, vectors, target, self.log_q, self.config.temperature)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def _inputs(self, rows: NDArray[np.intp]) -> tuple[Tensor, ...]:
        found = tower_inputs_of(self.histories, rows)
        return tuple(torch.from_numpy(found[name]) for name in INPUTS)

    def _recall(self) -> float:
        """Share of the held-out choices among the 100 nearest products."""
        if not len(self.held):
            return 0.0
        everything = np.arange(1, self.unknown)
        vectors = torch.from_numpy(_encode(self.towers.item, everything, self.items))
        target = torch.from_numpy(self.histories.log.item[self.held].astype(np.int64))
        with torch.no_grad():
            scores = self.towers.query(*self._inputs(self.held)) @ vectors.T
            better = (scores > scores.gather(1, target[:, None])).sum(1)
        return float((better < 100).float().mean())


def in_batch_loss(
    queries: Tensor, vectors: Tensor, target: Tensor, log_q: Tensor, temperature: float
) -> Tensor:
    """Softmax over the batch's own products, corrected for how often each is drawn.

    queries, vectors: (B, dim). target: (B,), products. log_q: (items,), log of the chance to be
    drawn. The correction comes after the division by the temperature, or it would be too strong
    by its inverse. Other rows of the same product are no negatives.
    """
    logits = queries @ vectors.T / temperature - log_q[target]
    same = target[:, None] == target[None, :]
    same.fill_diagonal_(False)
    logits = logits.masked_fill(same, -torch.inf)
    return nn.functional.cross_entropy(logits, torch.arange(len(target)))


def _encode(
    tower: ItemTower, rows: NDArray[np.integer], items: ItemFeatures
) -> NDArray[np.float32]:
    """rows: (n,), of the item table."""
    found: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            found.append(
                tower(
                    torch.from_numpy(rows[part].astype(np.int64)),
                    torch.from_numpy(items.codes[part].astype(np.int64)),
                    torch.from_numpy(items.dense[part]),
                ).numpy()
            )
    return np.concatenate(found)
