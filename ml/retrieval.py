"""The two towers: a query vector from recent behaviour and context, a vector per product.

Softmax over the products of a batch with the logQ correction of Yi et al. 2019 (RecSys,
"Sampling-bias-corrected neural modeling"): the logarithm of a product's share of the samples is
subtracted from the logit after the division by the temperature.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ml.features import ItemFeatures
from ml.interactions import InteractionLog
from ml.serving.release import TowerInputs
from ml.tower_samples import INPUTS, TowerSamples, one_sided
from ml.trainers import Trainer, builder
from ml.traits import Traits

if TYPE_CHECKING:
    from ml.towers import Towers

QUERY_TOWER = "query_tower.onnx"
RECALL_AT = 100
REPORTS = 40


class TowerConfig(Struct, frozen=True, kw_only=True):
    seed: int = 17
    dim: int = 64
    samples: int = 150_000
    """About 20,000 a second on one core; `warm_share` of them from a warm start."""
    passes: float = 6.0
    """A small log gives no more samples than so many per event."""
    warm_share: float = 0.6
    batch_size: int = 1024
    learning_rate: float = 2e-3
    temperature: float = 0.1
    unknown_share: float = 0.1
    """Samples in which the product's id is hidden, so that new products live from content, and
    as many in which the shopper's traits or the history are."""
    held_out: int = 1000
    """Samples that measure recall and train nothing."""
    trainer: Trainer = "merlin"
    threads: int = 1
    """More threads were ten times slower on a busy machine."""


class TrainedTowers(NamedTuple):
    towers: "Towers"
    item_vectors: NDArray[np.float32]
    """(items, dim), L2-normalised."""
    metrics: dict[str, float]

    def query_vectors(self, inputs: TowerInputs) -> NDArray[np.float32]:
        """(B, dim) for the inputs of the query tower."""
        return self.towers.query_vectors(inputs)

    def export(self, folder: Path) -> None:
        """Write `query_tower.onnx`."""
        self.towers.export_query(folder / QUERY_TOWER)


def train_two_tower(
    log: InteractionLog,
    items: ItemFeatures,
    n_markets: int,
    traits: Traits,
    config: TowerConfig,
    report: Callable[..., None],
    warm_start: TrainedTowers | None = None,
) -> TrainedTowers:
    """Fit both towers on a log, on from `warm_start` where there is one.

    Equal seed and data give equal vectors on one machine. report(fraction, figures) hears of the
    loss and of recall@RECALL_AT over the whole catalogue.
    """
    import torch

    from ml.towers import Towers, logq_loss

    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    samples = TowerSamples(log, traits.of_shopper)
    share_of_all = 1.0 if warm_start is None else config.warm_share
    held, training = _split(samples, config, share_of_all, rng)
    towers = Towers(items, n_markets, len(traits.names), config.dim, builder(config.trainer))
    if warm_start is not None:
        towers.continue_from(warm_start.towers)
    optimizer = torch.optim.Adam(towers.parameters(), lr=config.learning_rate)
    share = samples.item_counts(training, len(items.codes)) / len(training)
    log_share = torch.from_numpy(np.log(np.maximum(share, 1e-9)).astype(np.float32))
    steps = max(1, len(training) // config.batch_size)
    recent_loss, losses = 0.0, []
    for step in range(steps):
        chosen = training[step * config.batch_size : (step + 1) * config.batch_size]
        batch = samples.batch(chosen)
        hidden = torch.from_numpy(rng.random(len(chosen)) < config.unknown_share)
        batch = one_sided(batch, config.unknown_share, rng)
        query = towers.query(*map(torch.from_numpy, batch[:INPUTS]))
        target = torch.from_numpy(batch.target)
        loss = logq_loss(query, towers.items(target, hidden), target, log_share, config.temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if step % max(1, steps // REPORTS) == 0:
            recent_loss = float(np.mean(losses[-20:]))
            report((step + 1) / steps, {"loss": recent_loss})
    vectors = towers.item_vectors(samples.item_counts(samples.targets, len(items.codes)) == 0)
    recall = _recall(towers, vectors, samples, held)
    report(1.0, {"loss": recent_loss, f"recall@{RECALL_AT}": recall})
    metrics = {"loss": recent_loss, f"recall@{RECALL_AT}": recall, "samples": float(len(training))}
    return TrainedTowers(towers, vectors, metrics)


def _split(
    samples: TowerSamples, config: TowerConfig, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Held-out targets, and those to train on, in order."""
    held = samples.draw_evenly(min(config.held_out, len(samples.targets) // 20), rng)
    wanted = int(share * min(config.samples, config.passes * len(samples.targets)))
    drawn = samples.draw(wanted, rng)
    return held, drawn[~np.isin(drawn, held)]


def _recall(
    towers: "Towers",
    vectors: NDArray[np.float32],
    samples: TowerSamples,
    held: NDArray[np.int64],
) -> float:
    if not len(held):
        return 0.0
    batch = samples.batch(held)
    inputs = dict(zip(batch._fields[:INPUTS], batch[:INPUTS], strict=True))
    scores = towers.query_vectors(inputs) @ vectors.T
    own = scores[np.arange(len(held)), batch.target]
    return float(((scores > own[:, None]).sum(axis=1) < RECALL_AT).mean())
