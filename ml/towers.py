"""The networks of the two towers, of the trainer's embedding tables and MLPs."""

import copy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.features import ItemFeatures
from ml.interactions import KINDS
from ml.onnx_files import export_onnx
from ml.serving.release import TOWER_HISTORY, TowerInputs
from ml.serving.traits import DEVICES, MOST_TRAITS
from ml.trainers import Builder

CODE_DIM = 16
CONTEXT_DIM = 8
HOURS, WEEKDAYS = 24, 7
HIDDEN = [128]
HIDDEN_AGE = -1e4
"""Attention of padding before the softmax."""
ITEMS_AT_ONCE = 8192


class QueryTower(nn.Module):
    """Recent products pooled by kind and age, with context and traits: one vector per shopper."""

    def __init__(
        self, n_items: int, n_markets: int, n_traits: int, dim: int, build: Builder
    ) -> None:
        super().__init__()
        self.item_id = build.build_table(n_items + 1, dim)
        self.hour = build.build_table(HOURS, CONTEXT_DIM)
        self.weekday = build.build_table(WEEKDAYS, CONTEXT_DIM)
        self.market = build.build_table(n_markets, CONTEXT_DIM)
        self.device = build.build_table(len(DEVICES), CONTEXT_DIM)
        self.trait = build.build_table(n_traits, CONTEXT_DIM)
        self.kind_weight = nn.Parameter(torch.zeros(len(KINDS)))
        self.age_weight = nn.Parameter(torch.tensor(0.5))
        self.mlp = build.build_mlp(dim + 5 * CONTEXT_DIM, HIDDEN, dim)

    def forward(
        self,
        recent_items: Tensor,
        recent_ages: Tensor,
        recent_kinds: Tensor,
        context: Tensor,
        traits: Tensor,
    ) -> Tensor:
        """(B, L), (B, L), (B, L), (B, 4), (B, MOST_TRAITS) → (B, dim), L2-normalised."""
        known = recent_items > 0
        attention = self.kind_weight[recent_kinds] - nn.functional.softplus(
            self.age_weight
        ) * torch.log1p(recent_ages)
        attention = torch.softmax(torch.where(known, attention, HIDDEN_AGE), dim=1)
        weights = torch.where(known, attention, 0.0)
        pooled = (self.item_id(recent_items) * weights.unsqueeze(2)).sum(dim=1)
        hour, weekday, market, device = context.unbind(dim=1)
        told = (traits > 0).unsqueeze(2).float()
        described = (self.trait(traits) * told).sum(dim=1) / torch.clamp(told.sum(dim=1), min=1.0)
        parts = [
            pooled,
            self.hour(hour),
            self.weekday(weekday),
            self.market(market),
            self.device(device),
            described,
        ]
        vector = pooled + self.mlp(torch.cat(parts, dim=1))
        return nn.functional.normalize(vector, dim=1)


class Towers(nn.Module):
    """Both towers share the embedding of product ids; position 0 of it is padding and unknown."""

    def __init__(
        self, items: ItemFeatures, n_markets: int, n_traits: int, dim: int, build: Builder
    ) -> None:
        super().__init__()
        self._build = build
        self.query = QueryTower(len(items.codes), n_markets, n_traits, dim, build)
        self.codes = nn.ModuleList(
            build.build_table(size, CODE_DIM) for size in items.cardinalities
        )
        dense = np.concatenate([items.dense, items.content], axis=1)
        width = dim + CODE_DIM * len(items.cardinalities) + dense.shape[1]
        self.item_mlp = build.build_mlp(width, HIDDEN, dim)
        self._item_codes = torch.from_numpy(items.codes.astype(np.int64))
        self._item_dense = torch.from_numpy(dense)

    def items(self, positions: Tensor, hidden: Tensor) -> Tensor:
        """(B,) positions → (B, dim), L2-normalised; `hidden` ones live from content alone."""
        identity = self.query.item_id(torch.where(hidden, 0, positions + 1))
        codes = self._item_codes[positions]
        parts = [identity, *(table(codes[:, i]) for i, table in enumerate(self.codes))]
        parts.append(self._item_dense[positions])
        vector = identity + self.item_mlp(torch.cat(parts, dim=1))
        return nn.functional.normalize(vector, dim=1)

    def continue_from(self, other: "Towers") -> None:
        """Take over what another training of the same shop has learned."""
        self.load_state_dict(other.state_dict())

    @torch.no_grad()
    def item_vectors(self, untried: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(items, dim); the `untried`, (items,), live from content: nothing taught their ids."""
        positions = torch.arange(len(self._item_codes)).split(ITEMS_AT_ONCE)
        hidden = torch.from_numpy(untried).split(ITEMS_AT_ONCE)
        return torch.cat(
            [self.items(*part) for part in zip(positions, hidden, strict=True)]
        ).numpy()

    @torch.no_grad()
    def query_vectors(self, inputs: TowerInputs) -> NDArray[np.float32]:
        return self.query(**{name: torch.from_numpy(a) for name, a in inputs.items()}).numpy()

    def export_query(self, path: Path) -> None:
        """ONNX of the query tower, any batch size; blocks leave as plain layers."""
        plain = copy.deepcopy(self.query).eval()
        for name, block in self.query.named_children():
            setattr(plain, name, self._build.slim(block))
        shape = (2, TOWER_HISTORY)
        example = {
            "recent_items": torch.ones(shape, dtype=torch.int64),
            "recent_ages": torch.ones(shape),
            "recent_kinds": torch.zeros(shape, dtype=torch.int64),
            "context": torch.zeros((2, 4), dtype=torch.int64),
            "traits": torch.zeros((2, MOST_TRAITS), dtype=torch.int64),
        }
        export_onnx(plain, example, "vector", path)


def logq_loss(
    query: Tensor, item: Tensor, target: Tensor, log_share: Tensor, temperature: float
) -> Tensor:
    """Softmax over the batch. query, item: (B, dim); target: (B,); log_share: (items,)."""
    logits = query @ item.T / temperature - log_share[target]
    same = target.unsqueeze(0) == target.unsqueeze(1)
    same.fill_diagonal_(False)
    return nn.functional.cross_entropy(
        logits.masked_fill(same, -torch.inf), torch.arange(len(target))
    )
