"""The ranker: how likely a shopper is to choose each product of a candidate list."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn

from ml import metrics
from ml.calibration import fit_calibration, honest_error, probabilities
from ml.merlin_adapter import DlrmShape, build_dlrm, dlrm_logits, quiet, slim_dlrm
from ml.networks import Ranker, RawInputs
from ml.onnx_files import export_onnx
from ml.quantiles import fit_quantiles
from ml.release import Calibration
from ml.serving.buckets import bucketise
from ml.serving.ranker import EDGES, NETWORK

ROWS_AT_ONCE = 8_192
FEWEST_STEPS = 60
"""In an epoch, if need be with smaller batches: with few steps a small shop's ranker stays raw."""
RankerKind = Literal["dlrm"]


class RankerConfig(Struct, frozen=True, kw_only=True):
    seed: int = 17
    threads: int = 1
    kind: RankerKind = "dlrm"
    epochs: int = 3
    """The learning rate falls towards zero over them."""
    patience: int = 2
    """Epochs without a better NDCG on the held-out shoppers after which training stops."""
    groups_at_once: int = 32
    """At most."""
    negatives: int = 60
    """Per group and epoch, drawn anew."""
    pointwise: float = 0.3
    """Weight of the pointwise loss beside the listwise one."""
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    dropout: float = 0.4
    bins: int = 32
    dim: int = 8
    mixtures: int = 8
    bottom: tuple[int, ...] = (64,)
    top: tuple[int, ...] = (64, 32)


class NotEnoughData(Exception):
    """There is nothing to tell apart."""


class RankingRows(Protocol):
    """Candidate lists end to end; (n, F), (n, C), (n,) ascending, (n,) of 0 and 1."""

    @property
    def dense(self) -> NDArray[np.float32]: ...
    @property
    def codes(self) -> NDArray[np.integer]: ...
    @property
    def group(self) -> NDArray[np.integer]: ...
    @property
    def label(self) -> NDArray[np.float32]: ...


class TrainedRanker(NamedTuple):
    network: Ranker
    edges: NDArray[np.float32]
    """(F, bins - 1): the buckets the network looks vectors up by."""
    calibration: Calibration
    metrics: dict[str, float]
    """Of the held-out rows: ndcg@20, auc, grouped_auc, logloss, ece_before, ece."""
    curve: dict[str, list[float]]
    """Per epoch: train_loss, valid_loss, valid_auc, valid_ndcg."""

    def logits(self, rows: RankingRows) -> NDArray[np.float32]:
        """(n,), higher is better."""
        found = [np.zeros(0, np.float32)]
        with torch.no_grad():
            for start in range(0, len(rows.dense), ROWS_AT_ONCE):
                part = slice(start, start + ROWS_AT_ONCE)
                dense = torch.from_numpy(rows.dense[part])
                buckets = torch.from_numpy(bucketise(rows.dense[part], self.edges))
                codes = torch.from_numpy(rows.codes[part].astype(np.int64))
                found.append(self.network(dense, buckets, codes).numpy())
        return np.concatenate(found)

    def export(self, folder: Path) -> None:
        """Write `ranker_edges.npy` and `ranker.onnx`.

        The latter takes dense float32 (n, F), buckets uint8 (n, F) and codes int64 (n, C) and
        gives logit float32 (n,).
        """
        features, codes = len(self.edges), len(self.network.inputs.cardinality)
        example = {
            "dense": torch.zeros(2, features),
            "buckets": torch.zeros(2, features, dtype=torch.uint8),
            "codes": torch.zeros(2, codes, dtype=torch.long),
        }
        export_onnx(self.network, example, "logit", folder / NETWORK)
        np.save(folder / EDGES, self.edges)


class Trainable(NamedTuple):
    """A network under training."""

    module: nn.Module
    logits: Callable[[Tensor, Tensor], Tensor]
    """Standardised inputs (n, F) and rows of the fields' table (n, fields) to (n,)."""
    slim: Callable[[], nn.Module]
    """A copy in plain torch that takes the same two inputs."""


def train_ranker(
    train: RankingRows,
    valid: RankingRows,
    config: RankerConfig,
    progress: Callable[[float, dict[str, float]], None],
) -> TrainedRanker:
    """Fit on `train`, keep the epoch that orders `valid` best, calibrate on `valid`.

    The loss is a softmax over each group's candidates (Cao et al. 2007, ICML) and a share of
    cross-entropy. `valid` holds other shoppers. Equal seed and data give equal metrics on one
    machine. Raises NotEnoughData where either set holds a single class.
    """
    for rows in (train, valid):
        if not 0 < rows.label.sum() < len(rows.label):
            raise NotEnoughData("ranking needs products that were chosen and others that were not")
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    edges = fit_quantiles(train.dense, config.bins)
    inputs = _inputs(train, edges)
    trainable = KINDS[config.kind](inputs, config)
    with quiet():
        network, curve = _fit(trainable, inputs, edges, train, valid, config, progress)
    ranker = TrainedRanker(network, edges, Calibration(logits=[], probabilities=[]), {}, curve)
    logits = ranker.logits(valid)
    return ranker._replace(
        calibration=fit_calibration(logits, valid.label), metrics=_judged(valid, logits)
    )


def _dlrm(inputs: RawInputs, config: RankerConfig) -> Trainable:
    features, bins = len(inputs.mean), inputs.bins
    shape = DlrmShape(
        continuous=features,
        fields=features + len(inputs.cardinality),
        rows=features * bins + int(inputs.cardinality.sum()),
        dim=config.dim,
        mixtures=config.mixtures,
        bottom=config.bottom,
        top=config.top,
        dropout=config.dropout,
    )
    model = build_dlrm(shape)
    return Trainable(
        model, lambda dense, fields: dlrm_logits(model, dense, fields), lambda: slim_dlrm(model)
    )


KINDS: dict[RankerKind, Callable[[RawInputs, RankerConfig], Trainable]] = {"dlrm": _dlrm}


def _inputs(train: RankingRows, edges: NDArray[np.float32]) -> RawInputs:
    # moments of the quantiles: nearly those of the rows, and no outlier moves them
    mean, scale = edges.mean(axis=1), edges.std(axis=1)
    cardinalities = [int(codes.max()) + 1 for codes in train.codes.T]
    return RawInputs(
        edges.shape[1] + 1,
        torch.from_numpy(mean),
        torch.from_numpy(np.where(scale > 1e-6, scale, 1.0).astype(np.float32)),
        cardinalities,
    )


def _fit(
    trainable: Trainable,
    inputs: RawInputs,
    edges: NDArray[np.float32],
    train: RankingRows,
    valid: RankingRows,
    config: RankerConfig,
    progress: Callable[[float, dict[str, float]], None],
) -> tuple[Ranker, dict[str, list[float]]]:
    """The best epoch's network, and the curve."""
    buckets, valid_buckets = bucketise(train.dense, edges), bucketise(valid.dense, edges)
    optimizer = torch.optim.AdamW(
        trainable.module.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    rng = np.random.default_rng(config.seed)
    names = ("train_loss", "valid_loss", "valid_auc", "valid_ndcg")
    curve: dict[str, list[float]] = {name: [] for name in names}
    best = trainable.slim()
    for epoch in range(config.epochs):
        losses: list[float] = []
        trainable.module.train()
        for done, batch in _batches(train, buckets, inputs, config, rng):
            for parameters in optimizer.param_groups:
                parameters["lr"] = config.learning_rate * (1.02 - (epoch + done) / config.epochs)
            loss = ranking_loss(
                trainable.logits(batch.dense, batch.fields), batch, config.pointwise
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            progress((epoch + 0.9 * done) / config.epochs, {"loss": float(np.mean(losses[-50:]))})
        trainable.module.eval()
        scores = _predict(trainable.logits, inputs, valid, valid_buckets)
        ndcg = metrics.grouped_ndcg(valid.label, scores, valid.group)
        if ndcg > max(curve["valid_ndcg"], default=-1.0):
            best = trainable.slim()
        figures = (
            float(np.mean(losses)),
            _whole_loss(scores, valid, config.pointwise),
            metrics.auc(valid.label, scores),
            ndcg,
        )
        for name, figure in zip(names, figures, strict=True):
            curve[name].append(figure)
        progress((epoch + 1) / config.epochs, {"loss": figures[0], "ndcg@20": ndcg})
        if epoch - int(np.argmax(curve["valid_ndcg"])) >= config.patience:
            break
    progress(1.0, {"ndcg@20": max(curve["valid_ndcg"])})
    return Ranker(inputs, best).eval(), curve


class Batch(NamedTuple):
    """Whole groups of one step."""

    dense: Tensor
    """(n, F), standardised."""
    fields: Tensor
    """(n, fields)."""
    label: Tensor
    group: Tensor
    """(n,), from 0 without a gap."""
    weight: Tensor
    """(n,): how many candidates the row stands for."""


def _batches(
    train: RankingRows,
    buckets: NDArray[np.uint8],
    inputs: RawInputs,
    config: RankerConfig,
    rng: np.random.Generator,
) -> Iterator[tuple[float, Batch]]:
    """One epoch: the share of it that will be done, and a batch."""
    rows, weight = sample_negatives(train.group, train.label, config.negatives, rng)
    starts = np.r_[0, np.flatnonzero(np.diff(train.group[rows])) + 1, len(rows)]
    order = rng.permutation(len(starts) - 1)
    at_once = max(2, min(config.groups_at_once, len(order) // FEWEST_STEPS))
    for begin in range(0, len(order), at_once):
        chosen = order[begin : begin + at_once]
        lengths = starts[chosen + 1] - starts[chosen]
        place = np.concatenate([np.arange(starts[g], starts[g + 1]) for g in chosen])
        picked = rows[place]
        dense = torch.from_numpy(train.dense[picked])
        codes = torch.from_numpy(train.codes[picked].astype(np.int64))
        yield (
            min(1.0, (begin + len(chosen)) / len(order)),
            Batch(
                dense=inputs.standardise(dense),
                fields=inputs.rows(torch.from_numpy(buckets[picked]), codes),
                label=torch.from_numpy(train.label[picked]),
                group=torch.from_numpy(np.repeat(np.arange(len(chosen)), lengths)),
                weight=torch.from_numpy(weight[place]),
            ),
        )


def sample_negatives(
    group: NDArray[np.integer], label: NDArray[np.float32], most: int, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """All positives and at most `most` negatives of each group: their rows and weights.

    Rows keep groups together; a negative weighs as many as it was drawn from, per draw.
    """
    key = np.where(label > 0.5, -1.0, rng.random(len(label)))
    order = np.lexsort((key, group))
    starts = np.r_[0, np.flatnonzero(np.diff(group)) + 1]
    lengths = np.diff(np.r_[starts, len(group)])
    positives = np.add.reduceat(label, starts).round().astype(np.int64)
    place = np.arange(len(group)) - np.repeat(starts, lengths)
    kept = order[place < np.repeat(positives + most, lengths)]
    rate = np.maximum((lengths - positives) / most, 1.0)
    weight = np.where(label > 0.5, 1.0, np.repeat(rate, lengths))
    return kept, weight[kept].astype(np.float32)


def ranking_loss(logits: Tensor, batch: Batch, pointwise: float) -> Tensor:
    """Softmax over each group with a positive, averaged over them, plus cross-entropy of all rows.

    A sampled negative stands for `weight` candidates in both.
    """
    groups = int(batch.group[-1]) + 1
    lifted = logits + torch.log(batch.weight)
    highest = torch.full((groups,), -torch.inf).scatter_reduce(
        0, batch.group, lifted.detach(), "amax"
    )
    total = torch.zeros(groups).index_add(0, batch.group, torch.exp(lifted - highest[batch.group]))
    surprise = (torch.log(total) + highest)[batch.group] - logits
    positives = torch.zeros(groups).index_add(0, batch.group, batch.label)
    listwise = (batch.label * surprise / positives.clamp(min=1)[batch.group]).sum()
    cross_entropy = nn.functional.binary_cross_entropy_with_logits(
        logits, batch.label, weight=batch.weight, reduction="sum"
    )
    share = (positives > 0).sum().clamp(min=1)
    return listwise / share + pointwise * cross_entropy / batch.weight.sum()


def _predict(
    logits: Callable[[Tensor, Tensor], Tensor],
    inputs: RawInputs,
    rows: RankingRows,
    buckets: NDArray[np.uint8],
) -> NDArray[np.float32]:
    found: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for start in range(0, len(buckets), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            dense = inputs.standardise(torch.from_numpy(rows.dense[part]))
            codes = torch.from_numpy(rows.codes[part].astype(np.int64))
            fields = inputs.rows(torch.from_numpy(buckets[part]), codes)
            found.append(logits(dense, fields).numpy())
    return np.concatenate(found)


def _whole_loss(logits: NDArray[np.float32], rows: RankingRows, pointwise: float) -> float:
    """`ranking_loss` over every row of a set."""
    _, group = np.unique(rows.group, return_inverse=True)
    nothing = torch.zeros(0)
    batch = Batch(
        nothing,
        nothing,
        torch.from_numpy(rows.label),
        torch.from_numpy(group),
        torch.ones(len(group)),
    )
    return ranking_loss(torch.from_numpy(logits), batch, pointwise).item()


def _judged(valid: RankingRows, logits: NDArray[np.float32]) -> dict[str, float]:
    label = valid.label
    calibrated = probabilities(fit_calibration(logits, label), logits)
    return {
        "ndcg@20": metrics.grouped_ndcg(label, logits, valid.group),
        "auc": metrics.auc(label, logits),
        "grouped_auc": metrics.grouped_auc(label, logits, valid.group),
        "logloss": metrics.log_loss(label, calibrated),
        "ece_before": metrics.calibration_error(label, 1 / (1 + np.exp(-logits))),
        "ece": honest_error(logits, label, valid.group),
    }
