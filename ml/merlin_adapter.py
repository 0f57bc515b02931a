"""The only module that knows merlin.models: builds its networks, wraps its faults, copies it slim.

Importing Merlin takes many seconds, so it happens inside the functions.

Faults of merlin-models 23.12 that are dealt with here, each with a regression test:
- the Lightning hooks format an enum into the name of an attribute;
- embedding tables start at N(0, 1), from which a DLRM does not recover;
- a table looks up each feature alone, and the gradient of every slice is as large as the whole,
  so the cost grows with the square of the number of fields;
- tensors are joined in the order of their names, whatever order they are given in.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Dict, cast  # noqa: UP035 - see _StackFields

import torch
from torch import Tensor, nn

from ml.networks import (
    LARGEST_INITIAL,
    DotWithMixtures,
    NetworkKind,
    RankerShape,
    SlimDcn,
    SlimDlrm,
    SlimMlp,
    SlimWideDeep,
    Trainable,
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Merlin and its dependencies are known to say, and nothing else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*dtype mappings did not load", UserWarning)
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", r"The inner type of a container is lost", UserWarning)
        warnings.filterwarnings("ignore", r"Lazy modules are a new feature", UserWarning)
        warnings.filterwarnings("ignore", "", DeprecationWarning, module=r"stringcase|betterproto")
        yield


def build_ranker(kind: NetworkKind, shape: RankerShape) -> Trainable:
    """A network of Merlin's blocks, initialised and ready to train.

    Its fields share one table and arrive together.
    """
    build, slim_copy = _BUILDERS[kind]
    with quiet():
        model = build(shape)
        model.to(torch.float32)
        # the first batch gives Merlin's lazy layers their sizes
        ranker_logits(
            model, torch.zeros(2, shape.continuous), torch.zeros(2, shape.fields, dtype=torch.long)
        )
    calm_embeddings(model)
    return Trainable(
        model,
        lambda dense, fields: ranker_logits(model, dense, fields),
        lambda: slim_copy(model),
    )


def ranker_logits(model: Any, dense: Tensor, fields: Tensor) -> Tensor:  # noqa: ANN401 - Merlin's
    """Logits, (n,), before the sigmoid with which Merlin's BinaryOutput ends.

    dense: (n, continuous). fields: (n, fields), rows of the table.
    """
    *hidden_blocks, output = model.values
    hidden: Any = {"dense": dense, "fields": fields}
    for block in hidden_blocks:
        hidden = block(hidden)
    return output.values[0](hidden).squeeze(1)


def _dlrm(shape: RankerShape) -> Any:  # noqa: ANN401 - Merlin's
    """Merlin's DLRMModel (Naumov et al. 2019)."""
    import merlin.models.torch as mm
    from merlin.models.torch.blocks.dlrm import InteractionBlock

    model = _hooked(mm.DLRMModel)(
        _dlrm_schema(shape),
        dim=shape.dim,
        bottom_block=mm.MLPBlock([*shape.bottom, shape.dim]),
        top_block=mm.MLPBlock(list(shape.top), dropout=shape.dropout),
        output_block=_binary_output(),
    )
    table = _one(model, mm.EmbeddingTable)
    table.seq_combiner, table.has_combiner = None, False  # keep the fields apart
    dot = DotWithMixtures(shape.fields + 1, shape.mixtures)
    model.first().values[1] = InteractionBlock(_StackFields(), dot, prepend_agg=False)
    return model


def _slim_dlrm(model: Any) -> SlimDlrm:  # noqa: ANN401 - Merlin's
    block, output = model.first(), model.last()
    branches = block.values[0].branches
    return SlimDlrm(
        table=_copied(_one(branches["categorical"], nn.Embedding)),
        bottom=_plain(branches["continuous"]),
        dot=_copied(_one(block, DotWithMixtures)),
        top=nn.Sequential(*_plain(block.values[2]), *_plain(output.values[0])),
    )


def _mlp(shape: RankerShape) -> Any:  # noqa: ANN401 - Merlin's
    """Merlin's MLPBlock over all inputs."""
    import merlin.models.torch as mm

    return _hooked(mm.Model)(_JoinInputs(shape), _top(shape), _binary_output())


def _slim_mlp(model: Any) -> SlimMlp:  # noqa: ANN401 - Merlin's
    inputs, top, output = model.values
    return SlimMlp(
        _copied(_one(inputs, nn.Embedding)),
        nn.Sequential(*_plain(top), *_plain(output.values[0])),
    )


def _dcn(shape: RankerShape) -> Any:  # noqa: ANN401 - Merlin's
    """Merlin's DCNModel (Wang et al. 2021) with low-rank crosses, which DCNModel does not offer."""
    import merlin.models.torch as mm
    from merlin.models.torch.blocks.cross import CrossBlock

    model = _hooked(mm.DCNModel)(
        _dlrm_schema(shape),
        depth=shape.crosses,
        deep_block=_top(shape),
        stacked=False,
        input_block=_JoinInputs(shape),
        output_block=_binary_output(),
    )
    narrow = mm.MLPBlock([shape.cross_rank], activation=cast(Any, None))
    model.values[1].branches["cross"] = CrossBlock.with_low_rank(shape.crosses, narrow)
    return model


def _slim_dcn(model: Any) -> SlimDcn:  # noqa: ANN401 - Merlin's
    inputs, branches = model.values[0], model.values[1].branches
    return SlimDcn(
        table=_copied(_one(inputs, nn.Embedding)),
        crosses=[_plain(cross) for cross in branches["cross"].values],
        deep=_plain(branches["deep"]),
        output=_plain(model.last().values[0]),
    )


def _wide_deep(shape: RankerShape) -> Any:  # noqa: ANN401 - Merlin's
    """Cheng et al. 2016, of Merlin's tables and MLPBlocks: Merlin's torch side has no such model.

    The wide part takes every input, field and quantile of an input by a weight of its own.
    """
    import merlin.models.torch as mm
    from merlin.models.torch.block import Block, ParallelBlock
    from merlin.models.torch.transforms.agg import Concat, MaybeAgg

    branches = {"deep": Block(_JoinInputs(shape), _top(shape)), "wide": _Wide(shape)}
    return _hooked(mm.Model)(ParallelBlock(branches), MaybeAgg(Concat()), _binary_output())


def _slim_wide_deep(model: Any) -> SlimWideDeep:  # noqa: ANN401 - Merlin's
    branches = model.first().branches
    inputs, deep = branches["deep"].values
    wide = branches["wide"]
    return SlimWideDeep(
        table=_copied(_one(inputs, nn.Embedding)),
        deep=_plain(deep),
        wide_table=_copied(_one(wide, nn.Embedding)),
        wide=nn.Sequential(_copied(_one(wide, nn.Linear))),
        output=_plain(model.last().values[0]),
    )


_BUILDERS: dict[NetworkKind, tuple[Callable[[RankerShape], Any], Callable[[Any], nn.Module]]] = {
    "dlrm": (_dlrm, _slim_dlrm),
    "mlp": (_mlp, _slim_mlp),
    "dcn": (_dcn, _slim_dcn),
    "wide-deep": (_wide_deep, _slim_wide_deep),
}


def build_table(rows: int, dim: int) -> nn.Module:
    """Merlin's EmbeddingTable: tensors of rows to vectors."""
    with quiet():
        import merlin.models.torch as mm

        table = mm.EmbeddingTable(dim, _categorical("rows", rows))
    calm_embeddings(table)
    return table


def build_mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Module:
    """Merlin's MLPBlocks: ReLU after each hidden layer, none after the last."""
    with quiet():
        import merlin.models.torch as mm
        from merlin.models.torch.block import Block

        block = Block(mm.MLPBlock(list(hidden)), mm.MLPBlock([outputs], activation=cast(Any, None)))
        block(torch.zeros(2, inputs))
    return block


def slim(block: nn.Module) -> nn.Module:
    """A plain copy of a table (nn.Embedding) or of MLPBlocks (nn.Sequential)."""
    plain = _plain(block)
    return plain[0] if len(plain) == 1 else plain


def calm_embeddings(module: nn.Module) -> None:
    """Start embeddings at U(-0.05, 0.05)."""
    for table in module.modules():
        if isinstance(table, nn.Embedding):
            nn.init.uniform_(table.weight, -LARGEST_INITIAL, LARGEST_INITIAL)


class _StackFields(nn.Module):
    """The bottom MLP's output and the field vectors as one list: (n, 1 + fields, dim)."""

    # Merlin tells by this very annotation that a dictionary may be handed in
    def forward(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        return torch.cat([inputs["continuous"].unsqueeze(1), inputs["fields"]], dim=1)


class _JoinInputs(nn.Module):
    """All inputs side by side: (n, width)."""

    def __init__(self, shape: RankerShape) -> None:
        super().__init__()
        self.table = build_table(shape.rows, shape.dim)

    def forward(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006 - as above
        return torch.cat([inputs["dense"], self.table(inputs["fields"]).flatten(1)], dim=1)


class _Wide(nn.Module):
    """A linear model of all inputs: (n, 1)."""

    def __init__(self, shape: RankerShape) -> None:
        import merlin.models.torch as mm

        super().__init__()
        self.table = build_table(shape.rows, 1)
        self.linear = mm.MLPBlock([1], activation=cast(Any, None))

    def forward(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006 - as above
        return self.linear(inputs["dense"]) + self.table(inputs["fields"]).sum(dim=1)


def _top(shape: RankerShape) -> Any:  # noqa: ANN401 - Merlin's
    import merlin.models.torch as mm

    return mm.MLPBlock(list(shape.top), dropout=shape.dropout)


def _binary_output() -> Any:  # noqa: ANN401 - Merlin's
    import merlin.models.torch as mm
    from merlin.schema import ColumnSchema

    return mm.BinaryOutput(ColumnSchema("label"))


def _hooked(model_class: Any) -> Any:  # noqa: ANN401 - Merlin's
    """The class with Lightning hooks that also work where an enum formats as its full name."""

    class Hooked(model_class):
        def setup(self, stage: Any) -> None:  # noqa: ANN401 - TrainerFn, or its value
            super().setup(getattr(stage, "value", stage))

        def teardown(self, stage: Any) -> None:  # noqa: ANN401 - TrainerFn, or its value
            super().teardown(getattr(stage, "value", stage))

    return Hooked


def _dlrm_schema(shape: RankerShape) -> Any:  # noqa: ANN401 - Merlin's
    import merlin.dtypes as md
    from merlin.schema import ColumnSchema, Schema, Tags

    dense = ColumnSchema("dense", dtype=md.float32, tags=[Tags.CONTINUOUS])
    return Schema([_categorical("fields", shape.rows), dense])


def _categorical(name: str, rows: int) -> Any:  # noqa: ANN401 - Merlin's
    import merlin.dtypes as md
    from merlin.schema import ColumnSchema, Tags

    domain = {"min": 0, "max": rows - 1, "name": name}  # the maximum is included
    return ColumnSchema(
        name, dtype=md.int64, tags=[Tags.CATEGORICAL], properties={"domain": domain}
    )


def _one(module: nn.Module, kind: type) -> Any:  # noqa: ANN401 - an instance of `kind`
    found = [part for part in module.modules() if isinstance(part, kind)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} parts are {kind.__name__}, not one")
    return found[0]


def _plain(block: nn.Module) -> nn.Sequential:
    """Copies of the layers of `block` that compute something, in their order."""
    kinds = (nn.Embedding, nn.Linear, nn.ReLU, nn.Dropout)
    return nn.Sequential(*(_copied(part) for part in block.modules() if isinstance(part, kinds)))


def _copied(layer: nn.Module) -> Any:  # noqa: ANN401 - a layer of the same kind
    """A fresh layer with the same weights; LazyLinear becomes Linear."""
    if isinstance(layer, nn.Linear):
        copy: nn.Module = nn.Linear(layer.in_features, layer.out_features)
    elif isinstance(layer, nn.Embedding):
        copy = nn.Embedding(layer.num_embeddings, layer.embedding_dim)
    elif isinstance(layer, DotWithMixtures):
        copy = DotWithMixtures(*layer.mix.shape)
    elif isinstance(layer, nn.Dropout):
        copy = nn.Dropout(layer.p)
    else:
        copy = nn.ReLU()
    copy.load_state_dict(layer.state_dict())
    return copy.train(layer.training)
