"""The ranker: how likely a shopper is to choose each product of a candidate list."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor

from ml import metrics
from ml.calibration import fit_calibration, honest_error, probabilities
from ml.networks import NetworkKind, OneInput, Ranker, RankerShape, RawInputs, Trainable
from ml.onnx_files import export_onnx
from ml.quantiles import fit_quantiles
from ml.ranking_batches import RankingRows, batches, ranking_loss, whole_loss
from ml.release import Calibration
from ml.serving.buckets import bucketise
from ml.serving.candidate_features import DENSE_FEATURES
from ml.serving.ranker import EDGES, NETWORK
from ml.trainers import Trainer, builder

ROWS_AT_ONCE = 8_192
RankerKind = NetworkKind | Literal["two-tower"]
TWO_TOWER = DENSE_FEATURES.index("two-tower standardised")


class RankerConfig(Struct, frozen=True, kw_only=True):
    seed: int = 17
    threads: int = 1
    trainer: Trainer = "merlin"
    kind: RankerKind = "dlrm"
    """"two-tower" orders by that source alone: nothing is trained, its score is calibrated."""
    epochs: int = 3
    """The learning rate falls towards zero over them."""
    patience: int = 2
    """Epochs without a lower loss on the held-out shoppers after which training stops."""
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
    crosses: int = 2
    cross_rank: int = 32
    bottom: tuple[int, ...] = (64,)
    top: tuple[int, ...] = (64, 32)


class NotEnoughData(Exception):
    """There is nothing to tell apart."""


class TrainedRanker(NamedTuple):
    network: Ranker
    edges: NDArray[np.float32]
    """(F, bins - 1): the buckets the network looks vectors up by."""
    calibration: Calibration
    metrics: dict[str, float]
    """Of the held-out rows: ndcg@20, auc, grouped_auc, logloss, ece_before, ece."""
    curve: dict[str, list[float]]
    """Per epoch: train_loss, valid_loss, valid_auc, valid_ndcg; one of `kept_epoch` was kept."""

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


def train_ranker(
    train: RankingRows,
    valid: RankingRows,
    config: RankerConfig,
    progress: Callable[[float, dict[str, float]], None],
) -> TrainedRanker:
    """Fit on `train`, keep the epoch of the lowest loss on `valid`, calibrate on `valid`.

    The loss is a softmax over each group's candidates (Cao et al. 2007, ICML) and a share of
    cross-entropy; in groups of one, cross-entropy alone. `valid` holds other shoppers. Equal seed
    and data give equal metrics on one machine, and nearly equal ones with either trainer. Raises
    NotEnoughData where either set holds a single class.
    """
    for rows in (train, valid):
        if not 0 < rows.label.sum() < len(rows.label):
            raise NotEnoughData("ranking needs products that were chosen and others that were not")
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    edges = fit_quantiles(train.dense, config.bins)
    inputs = network_inputs(train, edges)
    if config.kind == "two-tower":
        network, curve = _untrained(inputs, valid, config)
    else:
        build = builder(config.trainer)
        with build.quiet():
            trainable = build.build_ranker(config.kind, network_shape(inputs, config))
            network, curve = fit(trainable, inputs, edges, train, valid, config, progress)
    ranker = TrainedRanker(network, edges, Calibration(logits=[], probabilities=[]), {}, curve)
    logits = ranker.logits(valid)
    return ranker._replace(
        calibration=fit_calibration(logits, valid.label), metrics=_judged(valid, logits)
    )


def kept_epoch(valid_loss: Sequence[float]) -> int:
    """The epoch, from 0, whose network is kept: that of the lowest loss, the first of equals.

    What follows it is overfitting: the order may still improve there, the probabilities, on which
    promotion rests, do not.
    """
    return int(np.argmin(valid_loss))


def network_shape(inputs: RawInputs, config: RankerConfig) -> RankerShape:
    features = len(inputs.mean)
    return RankerShape(
        continuous=features,
        fields=features + len(inputs.cardinality),
        rows=features * inputs.bins + int(inputs.cardinality.sum()),
        dim=config.dim,
        mixtures=config.mixtures,
        crosses=config.crosses,
        cross_rank=config.cross_rank,
        bottom=config.bottom,
        top=config.top,
        dropout=config.dropout,
    )


def network_inputs(train: RankingRows, edges: NDArray[np.float32]) -> RawInputs:
    # moments of the quantiles: nearly those of the rows, and no outlier moves them
    mean, scale = edges.mean(axis=1), edges.std(axis=1)
    cardinalities = [int(codes.max()) + 1 for codes in train.codes.T]
    return RawInputs(
        edges.shape[1] + 1,
        torch.from_numpy(mean),
        torch.from_numpy(np.where(scale > 1e-6, scale, 1.0).astype(np.float32)),
        cardinalities,
    )


def fit(
    trainable: Trainable,
    inputs: RawInputs,
    edges: NDArray[np.float32],
    train: RankingRows,
    valid: RankingRows,
    config: RankerConfig,
    progress: Callable[[float, dict[str, float]], None],
) -> tuple[Ranker, dict[str, list[float]]]:
    """The kept epoch's network, and the curve. Equal weights at the start give equal curves."""
    buckets, valid_buckets = (bucketise(rows.dense, edges) for rows in (train, valid))
    optimizer = torch.optim.AdamW(
        trainable.module.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    rng = np.random.default_rng(config.seed)
    curve: dict[str, list[float]] = {}
    best = trainable.slim()
    for epoch in range(config.epochs):
        losses: list[float] = []
        torch.manual_seed(config.seed + epoch)  # taking a copy may draw random numbers
        trainable.module.train()
        for done, batch in batches(
            train, buckets, inputs, config.groups_at_once, config.negatives, rng
        ):
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
        _note(curve, float(np.mean(losses)), scores, valid, config)
        kept = kept_epoch(curve["valid_loss"])
        if kept == epoch:
            best = trainable.slim()
        figures = {"loss": curve["train_loss"][-1], "ndcg@20": curve["valid_ndcg"][-1]}
        progress((epoch + 1) / config.epochs, figures)
        if epoch - kept >= config.patience:
            break
    progress(1.0, {"ndcg@20": curve["valid_ndcg"][kept_epoch(curve["valid_loss"])]})
    return Ranker(inputs, best).eval(), curve


def _untrained(
    inputs: RawInputs, valid: RankingRows, config: RankerConfig
) -> tuple[Ranker, dict[str, list[float]]]:
    """The two-tower's order within each list."""
    network = Ranker(inputs, OneInput(TWO_TOWER)).eval()
    curve: dict[str, list[float]] = {}
    scores = inputs.standardise(torch.from_numpy(valid.dense))[:, TWO_TOWER].numpy()
    _note(curve, float("nan"), scores, valid, config)
    return network, curve


def _note(
    curve: dict[str, list[float]],
    train_loss: float,
    scores: NDArray[np.float32],
    valid: RankingRows,
    config: RankerConfig,
) -> None:
    """Add an epoch to the curve."""
    figures = {
        "train_loss": train_loss,
        "valid_loss": whole_loss(scores, valid, config.pointwise),
        "valid_auc": metrics.auc(valid.label, scores),
        "valid_ndcg": metrics.grouped_ndcg(valid.label, scores, valid.group),
    }
    for name, figure in figures.items():
        curve.setdefault(name, []).append(figure)


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
