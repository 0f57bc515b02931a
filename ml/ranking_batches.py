"""What a ranker learns from: batches of whole candidate lists, and the loss over them."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.networks import RawInputs

FEWEST_STEPS = 60
"""In an epoch, if need be with smaller batches: with few steps a small shop's ranker stays raw."""


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


def batches(
    train: RankingRows,
    buckets: NDArray[np.uint8],
    inputs: RawInputs,
    most_groups: int,
    negatives: int,
    rng: np.random.Generator,
) -> Iterator[tuple[float, Batch]]:
    """One epoch: the share of it that will be done, and a batch of at most `most_groups`."""
    rows, weight = sample_negatives(train.group, train.label, negatives, rng)
    starts = np.r_[0, np.flatnonzero(np.diff(train.group[rows])) + 1, len(rows)]
    order = rng.permutation(len(starts) - 1)
    at_once = max(2, min(most_groups, len(order) // FEWEST_STEPS))
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


def whole_loss(logits: NDArray[np.float32], rows: RankingRows, pointwise: float) -> float:
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
