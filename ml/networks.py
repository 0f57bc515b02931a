"""The networks in plain torch: trained by the "torch" trainer, and exported by both.

`ml.merlin_adapter` builds the same ones from Merlin's blocks; equal weights give equal logits.
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

FURTHEST = 5.0
"""Standardised inputs are cut to this many deviations."""
LARGEST_INITIAL = 0.05
"""Embeddings start at U(-0.05, 0.05)."""
NetworkKind = Literal["dlrm", "mlp", "dcn", "wide-deep"]


class RankerShape(NamedTuple):
    """Sizes of a ranker's network; each kind takes what it needs."""

    continuous: int
    fields: int
    rows: int
    """Rows of the one table that holds the values of all fields."""
    dim: int
    mixtures: int
    """Of the DLRM's dot products."""
    crosses: int
    """Cross layers of the DCN."""
    cross_rank: int
    bottom: tuple[int, ...]
    """Hidden units of the DLRM's bottom MLP, which ends in `dim`."""
    top: tuple[int, ...]
    dropout: float

    @property
    def width(self) -> int:
        """Of all inputs side by side."""
        return self.continuous + self.fields * self.dim


class Trainable(NamedTuple):
    """A network under training."""

    module: nn.Module
    logits: Callable[[Tensor, Tensor], Tensor]
    """Standardised inputs (n, F) and rows of the fields' table (n, fields) to (n,)."""
    slim: Callable[[], nn.Module]
    """A copy in plain torch that takes the same two inputs."""


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
    """Deep learning recommendation model (Naumov et al. 2019)."""

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


def _joined(table: nn.Embedding, dense: Tensor, fields: Tensor) -> Tensor:
    """(n, width): inputs, then the vectors of all fields."""
    return torch.cat([dense, table(fields).flatten(1)], dim=1)


class SlimMlp(nn.Module):
    """All inputs side by side through one MLP."""

    def __init__(self, table: nn.Embedding, top: nn.Sequential) -> None:
        super().__init__()
        self.table = table
        self.top = top

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        return self.top(_joined(self.table, dense, fields)).squeeze(1)


class SlimDcn(nn.Module):
    """Deep & cross network (DCN-v2, Wang et al. 2021), low rank, cross and deep side by side."""

    def __init__(
        self,
        table: nn.Embedding,
        crosses: Sequence[nn.Sequential],
        deep: nn.Sequential,
        output: nn.Sequential,
    ) -> None:
        super().__init__()
        self.table = table
        self.crosses = nn.ModuleList(crosses)
        self.deep = deep
        self.output = output

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        given = _joined(self.table, dense, fields)
        crossed = given
        for cross in self.crosses:
            crossed = given * cross(crossed) + crossed
        return self.output(torch.cat([crossed, self.deep(given)], dim=1)).squeeze(1)


class SlimWideDeep(nn.Module):
    """Wide & Deep (Cheng et al. 2016): a linear model of inputs and fields, joined with an MLP."""

    def __init__(
        self,
        table: nn.Embedding,
        deep: nn.Sequential,
        wide_table: nn.Embedding,
        wide: nn.Sequential,
        output: nn.Sequential,
    ) -> None:
        super().__init__()
        self.table = table
        self.deep = deep
        self.wide_table = wide_table
        self.wide = wide
        self.output = output

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        deep = self.deep(_joined(self.table, dense, fields))
        wide = self.wide(dense) + self.wide_table(fields).sum(dim=1)
        return self.output(torch.cat([deep, wide], dim=1)).squeeze(1)


class OneInput(nn.Module):
    """One of the inputs as it is: an order that needs no network."""

    def __init__(self, column: int) -> None:
        super().__init__()
        self.column = column

    def forward(self, dense: Tensor, fields: Tensor) -> Tensor:
        # the fields count for nothing, but an exported graph keeps only inputs that are used
        return dense[:, self.column] + 0.0 * fields[:, 0]


def build_ranker(kind: NetworkKind, shape: RankerShape) -> Trainable:
    """A network with fresh weights."""
    table = build_table(shape.rows, shape.dim)
    top, last = shape.top, shape.top[-1]
    deep = build_layers(shape.width, top, shape.dropout)
    if kind == "dlrm":
        dot = DotWithMixtures(shape.fields + 1, shape.mixtures)
        width = shape.dim + (shape.fields + 1) * shape.mixtures
        network: nn.Module = SlimDlrm(
            table,
            build_layers(shape.continuous, (*shape.bottom, shape.dim)),
            dot,
            nn.Sequential(*build_layers(width, top, shape.dropout), nn.Linear(last, 1)),
        )
    elif kind == "mlp":
        network = SlimMlp(table, nn.Sequential(*deep, nn.Linear(last, 1)))
    elif kind == "dcn":
        rank, width = shape.cross_rank, shape.width
        crosses = [
            nn.Sequential(nn.Linear(width, rank), nn.Linear(rank, width))
            for _ in range(shape.crosses)
        ]
        output = nn.Sequential(nn.Linear(width + last, 1))
        network = SlimDcn(table, crosses, deep, output)
    else:
        wide = nn.Sequential(nn.Linear(shape.continuous, 1))
        output = nn.Sequential(nn.Linear(last + 1, 1))
        network = SlimWideDeep(table, deep, build_table(shape.rows, 1), wide, output)
    return Trainable(network, network, lambda: copy.deepcopy(network))


def build_layers(inputs: int, units: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear, ReLU and dropout, as often as there are `units`."""
    layers: list[nn.Module] = []
    for before, after in zip((inputs, *units), units, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers)


def build_mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Module:
    """ReLU after each hidden layer, none after the last."""
    last = hidden[-1] if hidden else inputs
    return nn.Sequential(*build_layers(inputs, hidden), nn.Linear(last, outputs))


def build_table(rows: int, dim: int) -> nn.Embedding:
    """Rows to vectors."""
    table = nn.Embedding(rows, dim)
    nn.init.uniform_(table.weight, -LARGEST_INITIAL, LARGEST_INITIAL)
    return table


def slim(block: nn.Module) -> nn.Module:
    """A copy; plain torch is slim already."""
    return copy.deepcopy(block)


def quiet() -> AbstractContextManager[None]:
    """Plain torch has nothing to be silenced."""
    return nullcontext()


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
        known = torch.where(torch.isnan(dense), 0.0, dense)
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
