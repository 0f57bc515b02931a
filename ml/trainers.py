"""Who builds the networks that are trained: merlin-models, or torch alone."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import nn

    from ml.networks import NetworkKind, RankerShape, Trainable

Trainer = Literal["merlin", "torch"]


class Builder(Protocol):
    """A module that builds networks; equal weights give equal outputs, whoever built them."""

    def build_ranker(self, kind: "NetworkKind", shape: "RankerShape") -> "Trainable": ...

    def build_table(self, rows: int, dim: int) -> "nn.Module":
        """Rows to vectors of `dim`."""
        ...

    def build_mlp(self, inputs: int, hidden: Sequence[int], outputs: int) -> "nn.Module":
        """ReLU after each hidden layer, none after the last."""
        ...

    def slim(self, block: "nn.Module") -> "nn.Module":
        """A plain copy of a table or an MLP."""
        ...

    def quiet(self) -> AbstractContextManager[None]:
        """Silence what the framework is known to say while its networks run."""
        ...


def builder(trainer: Trainer) -> Builder:
    """With "torch", nothing of Merlin is imported."""
    if trainer == "torch":
        from ml import networks

        return networks
    from ml import merlin_adapter

    return merlin_adapter
