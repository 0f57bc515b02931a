"""The networks in plain torch: what is exported, and the parts that Merlin's models are given."""

import torch
from torch import Tensor, nn

from ml.serving.buckets import BEYOND

FURTHEST = 5.0
"""Standardised inputs are cut to this many deviations."""


class DotWithMixtures(nn.Module):
    """Dot products of every field vector with a few learned mixtures of all fields.

    DLRM's interaction (Naumov et al. 2019) at a cost that grows with the number of fields and
    not with its square: X (XᵀY) in place of XXᵀ, as in Wukong (Zhang et al. 2024, ICML).
    """

    def __init__(self, fields: int, mixtures: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.empty(fields, mixtures))
        nn.init.uniform_(self.mix, -(fields**-0.5), fields**-0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, fields, dim) to (n, fields * mixtures)."""
        return torch.bmm(inputs, torch.matmul(inputs.transpose(1, 2), self.mix)).flatten(1)


class SlimDlrm(nn.Module):
    """The DLRM of `ml.merlin_adapter.build_dlrm` without Merlin: equal weights, equal logits."""

    def __init__(
        self, table: nn.Embedding, bottom: nn.Sequential, dot: nn.Module, top: nn.Sequential
    ) -> None:
        super().__init__()
        self.table = table
        self.bottom = bottom
        self.dot = dot
        self.top = top

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        """Standardised inputs (n, F) and rows of the table (n, fields) to logits (n,)."""
        continuous = self.bottom(dense)
        vectors = torch.cat([continuous.unsqueeze(1), self.table(fields)], dim=1)
        return self.top(torch.cat([continuous, self.dot(vectors)], dim=1)).squeeze(1)


class RawInputs(nn.Module):
    """Raw ranker inputs to what the network takes; whatever arrives, finite numbers leave."""

    mean: Tensor
    scale: Tensor
    first_row: Tensor
    cardinality: Tensor

    def __init__(self, bins: int, mean: Tensor, scale: Tensor, cardinalities: list[int]) -> None:
        """bins: buckets of each feature. mean, scale: (F,)."""
        super().__init__()
        self.bins = bins
        sizes = torch.tensor([bins] * len(mean) + cardinalities)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.register_buffer("first_row", torch.cumsum(sizes, 0) - sizes)
        self.register_buffer("cardinality", torch.tensor(cardinalities))

    def forward(self, dense: Tensor, buckets: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Raw features (n, F), their buckets (n, F) and codes (n, C) to what the network takes."""
        return self.standardise(dense), self.rows(buckets, codes)

    def standardise(self, dense: Tensor) -> Tensor:
        known = torch.nan_to_num(dense, nan=0.0, posinf=BEYOND, neginf=-BEYOND)
        return torch.clamp((known - self.mean) / self.scale, -FURTHEST, FURTHEST)

    def rows(self, buckets: Tensor, codes: Tensor) -> Tensor:
        """Codes out of range are the unknown one, 0."""
        inside = (codes >= 0) & (codes < self.cardinality)
        return torch.cat([buckets.long(), torch.where(inside, codes, 0)], dim=1) + self.first_row


class Ranker(nn.Module):
    """Raw features to logits: the graph of `ranker.onnx`."""

    def __init__(self, inputs: RawInputs, network: nn.Module) -> None:
        super().__init__()
        self.inputs = inputs
        self.network = network

    def forward(self, dense: Tensor, buckets: Tensor, codes: Tensor) -> Tensor:
        standardised, fields = self.inputs(dense, buckets, codes)
        return self.network(standardised, fields)
