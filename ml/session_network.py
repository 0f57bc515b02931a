"""A small network for the next product of a visit.

A visit is a weighted mean of the vectors of its products, so that both live in one space (Hou et
al. 2022, SIGIR, "CORE"); attention over the steps, their order and the newest one sets the
weights. What usually follows the newest steps turns it: alone, the mean could not tell that B
comes after A more often than A after B. Vectors are normalised, so that no product wins by its
length alone (Gupta et al. 2019, "NISER"). The loss is a softmax over the batch's products and some
drawn at random, corrected for how likely each was to be there (logQ; Yi et al. 2019, RecSys).
"""

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ml.onnx_files import export_onnx
from ml.serving.session_network import NETWORK_CLICKS, SessionNetwork
from ml.session import Steps

REPORTS = 40
TURNING_CLICKS = 4
"""Newest steps whose order turns the visit's vector."""
WARM_UP = 0.1
"""Share of the batches over which the learning rate rises."""


class NetworkConfig(Struct, frozen=True, kw_only=True):
    seed: int = 17
    dim: int = 64
    samples: int = 3_000_000
    """About 15,000 a second on one core; `warm_share` of them from a warm start."""
    passes: float = 8.0
    """Few visits give no more samples than so many per step."""
    warm_share: float = 0.4
    batch_size: int = 1024
    negatives: int = 2048
    """Drawn at random; a catalogue up to twice as large is taken whole."""
    learning_rate: float = 3e-3
    temperature: float = 0.08
    """To begin with; it is learned."""
    dropout: float = 0.2
    threads: int = 1


class VisitEncoder(nn.Module):
    """(B, L, dim) vectors of steps, newest first, and (B, L) which are there → (B, dim)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim = config.dim
        self.order = nn.Parameter(torch.randn(NETWORK_CLICKS, dim) * 0.1)
        self.step = nn.Linear(dim, dim)
        self.newest = nn.Linear(dim, dim, bias=False)
        self.mean = nn.Linear(dim, dim, bias=False)
        self.weigh = nn.Linear(dim, 1)
        self.turn_in = nn.Linear((TURNING_CLICKS + 1) * dim, 2 * dim)
        self.turn_out = nn.Linear(2 * dim, dim)
        nn.init.zeros_(self.turn_out.weight)
        nn.init.zeros_(self.turn_out.bias)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature)))

    def forward(self, clicks: Tensor, known: Tensor) -> Tensor:
        mask = known.unsqueeze(2)
        mean = (clicks * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        visit = self.newest(clicks[:, 0]) + self.mean(mean)
        seen = torch.tanh(self.step(clicks) + self.order + visit.unsqueeze(1))
        weights = torch.softmax(self.weigh(seen).squeeze(2) - 1e4 * (1 - known), 1)
        pooled = (clicks * weights.unsqueeze(2)).sum(1)
        newest = (clicks * mask)[:, :TURNING_CLICKS].flatten(1)
        turn = self.turn_out(torch.relu(self.turn_in(torch.cat([pooled, newest], 1))))
        return functional.normalize(pooled + turn, dim=1) * self.log_scale.exp()


class TrainedNetwork(NamedTuple):
    items: nn.Embedding
    encoder: VisitEncoder
    vectors: NDArray[np.float32]
    """(items, dim), L2-normalised."""
    network: SessionNetwork


def train_network(
    steps: Steps,
    n_items: int,
    config: NetworkConfig,
    report: Callable[..., None],
    warm_start: TrainedNetwork | None = None,
) -> TrainedNetwork:
    """Fit on `steps` of width NETWORK_CLICKS, on from `warm_start` where there is one.

    Equal seed and data give an equal network on one machine.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    items = nn.Embedding(n_items, config.dim)
    nn.init.normal_(items.weight, std=0.1)
    encoder = VisitEncoder(config)
    if warm_start is not None:
        items.load_state_dict(warm_start.items.state_dict())
        encoder.load_state_dict(warm_start.encoder.state_dict())
    parameters = [*items.parameters(), *encoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate)
    n = len(steps.target)
    share = 1.0 if warm_start is None else config.warm_share
    batches = max(1, int(share * min(config.samples, config.passes * n)) // config.batch_size)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=batches + 1, pct_start=WARM_UP
    )
    pool = CandidatePool(steps, n_items, config)
    order = _passes(n, batches * config.batch_size, rng)
    losses: list[float] = []
    for batch in range(batches):
        rows = order[batch * config.batch_size : (batch + 1) * config.batch_size]
        loss = _loss(items, encoder, steps, rows, pool.draw(rows, rng), config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        losses.append(loss.item())
        if batch % max(1, batches // REPORTS) == 0:
            report((batch + 1) / batches, {"loss": float(np.mean(losses[-20:]))})
    vectors = functional.normalize(items.weight.detach(), dim=1).numpy().copy()
    return TrainedNetwork(items, encoder, vectors, exported(vectors, encoder))


def _passes(n: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions below `n` in random order, all of them before any comes again."""
    passes = [rng.permutation(n) for _ in range(-(-wanted // n))]
    return np.concatenate(passes)[:wanted]


class Pool(NamedTuple):
    """Products that one batch chooses among."""

    items: NDArray[np.int64]
    """(pool,), distinct."""
    target: NDArray[np.int64]
    """(rows,), positions in `items`."""
    log_chance: NDArray[np.float32]
    """(pool,), logarithm of how likely each product was to be in the pool."""


class CandidatePool:
    """The batch's own products and some at random, frequent ones more often."""

    def __init__(self, steps: Steps, n_items: int, config: NetworkConfig) -> None:
        count = np.bincount(steps.target, minlength=n_items)
        chance = count**0.75 + 0.1
        self._target = steps.target
        self._chance = chance / chance.sum()
        self._cumulative = np.cumsum(self._chance)
        self._share = count / max(1, count.sum())
        self._drawn = 0 if n_items <= 2 * config.negatives else config.negatives

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Pool:
        if not self._drawn:
            n_items = len(self._share)
            every = np.arange(n_items)
            return Pool(every, self._target[rows].astype(np.int64), np.zeros(n_items, np.float32))
        drawn = np.searchsorted(self._cumulative, rng.random(self._drawn))
        drawn = np.minimum(drawn, len(self._share) - 1)
        items, place = np.unique(np.r_[self._target[rows], drawn], return_inverse=True)
        expected = len(rows) * self._share[items] + self._drawn * self._chance[items]
        log_chance = np.log(-np.expm1(-expected))
        return Pool(items.astype(np.int64), place[: len(rows)], log_chance.astype(np.float32))


def _loss(
    items: nn.Embedding,
    encoder: VisitEncoder,
    steps: Steps,
    rows: NDArray[np.int64],
    pool: Pool,
    config: NetworkConfig,
) -> Tensor:
    clicks = torch.from_numpy(steps.clicks[rows].astype(np.int64))
    seen = functional.normalize(items(clicks.clamp(min=0)), dim=2)
    seen = functional.dropout(seen, config.dropout)
    query = encoder(seen, (clicks >= 0).float())
    candidates = functional.normalize(items(torch.from_numpy(pool.items)), dim=1)
    logits = query @ candidates.T - torch.from_numpy(pool.log_chance)
    return functional.cross_entropy(logits, torch.from_numpy(pool.target))


def exported(vectors: NDArray[np.float32], encoder: VisitEncoder) -> SessionNetwork:
    """The encoder as it serves; `vectors` give its dimension."""
    example = {
        "clicks": torch.zeros(1, NETWORK_CLICKS, vectors.shape[1]),
        "known": torch.ones(1, NETWORK_CLICKS),
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "session_model.onnx"
        export_onnx(encoder, example, "vector", path)
        return SessionNetwork(path.read_bytes())
