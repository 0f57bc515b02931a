"""What merlin-models and NVTabular get wrong, and that the product does not suffer from it."""

# ruff: noqa: PLC0415 - the frameworks take seconds to import, and say things while they do

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from ml import metrics
from ml.merlin_adapter import (
    _hooked,
    build_mlp,
    build_ranker,
    build_table,
    quiet,
    slim,
)
from ml.networks import NetworkKind, RankerShape, Trainable
from ml.serving.encoding import NONE

SHAPE = RankerShape(
    continuous=5,
    fields=7,
    rows=60,
    dim=8,
    mixtures=4,
    crosses=2,
    cross_rank=3,
    bottom=(16,),
    top=(16, 8),
    dropout=0.2,
)
NETWORKS: tuple[NetworkKind, ...] = get_args(NetworkKind)
PEOPLE, THINGS = 150, 150


def inputs(rows: int, shape: RankerShape = SHAPE) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows)
    dense = torch.randn(rows, shape.continuous, generator=generator)
    fields = torch.randint(0, shape.rows, (rows, shape.fields), generator=generator)
    return dense, fields


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """More are many times slower on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request: pytest.FixtureRequest) -> Trainable:
    """A network a few steps away from its initial weights."""
    return a_few_steps(request.param)


@pytest.fixture(scope="module")
def dlrm() -> Trainable:
    return a_few_steps("dlrm")


def a_few_steps(kind: NetworkKind) -> Trainable:
    torch.manual_seed(0)
    network = build_ranker(kind, SHAPE)
    optimizer = torch.optim.Adam(network.module.parameters(), 0.01)
    dense, fields = inputs(64)
    with quiet():
        for _ in range(5):
            loss = (network.logits(dense, fields) - dense[:, 0]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.module.eval()
    return network


@pytest.mark.parametrize("rows", [1, 300])
def test_the_slim_copy_gives_the_same_logits(trained: Trainable, rows: int) -> None:
    dense, fields = inputs(rows)

    with quiet(), torch.no_grad():
        merlins = trained.logits(dense, fields)
        slims = trained.slim()(dense, fields)

    assert slims.shape == (rows,)
    assert (merlins - slims).abs().max() <= 1e-6


def test_the_slim_copy_holds_nothing_of_merlin(trained: Trainable) -> None:
    assert not [m for m in trained.slim().modules() if type(m).__module__.startswith("merlin")]


def test_logits_are_those_behind_merlins_own_probability(trained: Trainable) -> None:
    dense, fields = inputs(20)

    with quiet(), torch.no_grad():
        probability = trained.module({"dense": dense, "fields": fields}).squeeze(1)
        logits = trained.logits(dense, fields)

    assert torch.allclose(torch.sigmoid(logits), probability, atol=1e-6)


def test_the_order_in_which_tensors_are_handed_over_does_not_matter(
    trained: Trainable,
) -> None:
    import merlin.models.torch as mm

    dense, fields = inputs(20)
    with quiet(), torch.no_grad():
        forward = trained.module({"dense": dense, "fields": fields})
        backward = trained.module({"fields": fields, "dense": dense})
        joined = mm.Concat()({"b": torch.ones(1, 1), "a": torch.zeros(1, 1)})

    assert torch.equal(forward, backward)
    assert joined.tolist() == [[0.0, 1.0]]  # by name: why slim copies join in Merlin's order


def test_fields_are_looked_up_together_and_kept_apart(dlrm: Trainable) -> None:
    dense, fields = inputs(2)
    swapped = fields.flip(1)

    with quiet(), torch.no_grad():
        changed = (dlrm.logits(dense, fields) - dlrm.logits(dense, swapped)).abs().min()

    assert sum(isinstance(part, nn.Embedding) for part in dlrm.module.modules()) == 1
    assert changed > 0  # a mean over the fields, Merlin's default for lists, would not change


def tastes(seed: int, rows: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Choices by tastes in four dimensions: (rows, 2) table rows and labels."""
    world = np.random.default_rng(1)
    people, things = world.normal(size=(PEOPLE, 4)), world.normal(size=(THINGS, 4))
    rng = np.random.default_rng(seed)
    who, what = rng.integers(0, PEOPLE, rows), rng.integers(0, THINGS, rows)
    chance = 1 / (1 + np.exp(-1.5 * (people[who] * things[what]).sum(axis=1)))
    label = (rng.random(rows) < chance).astype(np.float32)
    return np.stack([who, PEOPLE + what], axis=1), label


def auc_after_training(prepare: Any) -> float:  # noqa: ANN401 - changes a fresh model in place
    torch.manual_seed(0)
    shape = RankerShape(1, 2, PEOPLE + THINGS, 16, 3, 1, 1, (8,), (32,), dropout=0.0)
    dlrm = build_ranker("dlrm", shape)
    prepare(dlrm.module)
    fields, label = map(torch.from_numpy, tastes(2, 30_000))
    optimizer = torch.optim.Adam(dlrm.module.parameters(), 0.003)
    with quiet():
        for _ in range(3):
            for rows in torch.randperm(len(label)).split(512):
                logits = dlrm.logits(torch.zeros(len(rows), 1), fields[rows])
                loss = nn.functional.binary_cross_entropy_with_logits(logits, label[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        unseen, truth = tastes(3, 10_000)
        with torch.no_grad():
            scores = dlrm.logits(torch.zeros(len(truth), 1), torch.from_numpy(unseen))
    return metrics.auc(truth, scores.numpy())


def as_merlin_starts(model: nn.Module) -> None:
    for part in model.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight)


def test_small_initial_embeddings_learn_what_merlins_do_not() -> None:
    calm = auc_after_training(lambda _model: None)
    wild = auc_after_training(as_merlin_starts)

    assert calm > wild + 0.03


@pytest.mark.parametrize("block", ["table", "mlp"])
def test_tables_and_mlps_have_slim_copies(block: str) -> None:
    whole = build_table(9, 4) if block == "table" else build_mlp(3, [8], 2)
    given = torch.tensor([[0, 8], [3, 3]]) if block == "table" else torch.randn(5, 3)

    copy = slim(whole)

    with quiet(), torch.no_grad():
        assert torch.equal(whole(given), copy(given))
    assert not [m for m in copy.modules() if type(m).__module__.startswith("merlin")]


def test_an_mlp_may_end_below_zero() -> None:
    with quiet(), torch.no_grad():
        assert (build_mlp(3, [8], 2)(torch.randn(50, 3)) < 0).any()


# what upstream says while Lightning drives it, besides what `quiet` knows
@pytest.mark.filterwarnings("ignore:Initializing an NVTabular Dataset in CPU mode:UserWarning")
@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no:UserWarning")
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")
def test_lightning_can_train_a_model_whose_hooks_are_mended() -> None:
    with quiet():
        import merlin.models.torch as mm

        with pytest.raises(AttributeError, match=r"TrainerFn\.FITTING_loop"):
            fit_with_lightning(mm.Model)

        assert fit_with_lightning(_hooked(mm.Model)) == 2


def fit_with_lightning(model_class: Any) -> int:  # noqa: ANN401 - Merlin's
    """Steps taken."""
    import merlin.dtypes as md
    import merlin.models.torch as mm
    import pandas as pd
    import pytorch_lightning as lightning
    from merlin.dataloader.torch import Loader
    from merlin.io import Dataset
    from merlin.schema import ColumnSchema, Schema, Tags

    domain = {"domain": {"min": 0, "max": 9, "name": "item"}}
    item = ColumnSchema("item", dtype=md.int64, tags=[Tags.CATEGORICAL], properties=domain)
    label = ColumnSchema("label", dtype=md.float32, tags=[Tags.TARGET, Tags.BINARY_CLASSIFICATION])
    frame = pd.DataFrame({"item": np.arange(64) % 10, "label": np.arange(64, dtype="f4") % 2})
    model = model_class(
        mm.TabularInputBlock(Schema([item]), init="defaults"),
        mm.MLPBlock([4]),
        mm.BinaryOutput(label),
    )
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, Loader(Dataset(frame, schema=Schema([item, label])), batch_size=32))
    return trainer.global_step


@pytest.mark.filterwarnings("ignore:Initializing an NVTabular Dataset in CPU mode:UserWarning")
def test_a_brand_that_is_null_throughout_needs_a_sentinel(tmp_path: Path) -> None:
    with quiet():
        import nvtabular
        import pandas as pd
        from merlin.io import Dataset
        from nvtabular import ops

        def encode(values: list[str | None]) -> list[int]:
            frame = pd.DataFrame({"brand": pd.Series(values, dtype=object)})
            return workflow.transform(Dataset(frame)).to_ddf().compute()["brand"].tolist()

        workflow = nvtabular.Workflow(["brand"] >> ops.Categorify(out_path=str(tmp_path)))
        workflow.fit(Dataset(pd.DataFrame({"brand": ["a", "b", NONE, "a"]})))

        with pytest.raises(RuntimeError, match="Failed to categorical encode"):
            encode([None, None])

        assert len(set(encode([NONE, NONE]))) == 1


@pytest.mark.filterwarnings("ignore:Initializing an NVTabular Dataset in CPU mode:UserWarning")
@pytest.mark.filterwarnings("ignore:np.find_common_type is deprecated:DeprecationWarning")
def test_target_encoding_needs_its_target_even_to_transform(tmp_path: Path) -> None:
    """Why no feature of ours is target-encoded by NVTabular."""
    with quiet():
        import nvtabular
        import pandas as pd
        from merlin.io import Dataset
        from nvtabular import ops

        frame = pd.DataFrame({"brand": ["a", "b"] * 20, "click": [1.0, 0.0] * 20})
        encoding = ops.TargetEncoding(["click"], kfold=1, p_smooth=1, out_path=str(tmp_path))
        workflow = nvtabular.Workflow(["brand"] >> encoding)
        workflow.fit(Dataset(frame))
        known = workflow.transform(Dataset(frame)).to_ddf().compute()
        dummy = workflow.transform(Dataset(frame.assign(click=0.0))).to_ddf().compute()

        assert known.equals(dummy)
        with pytest.raises(ValueError, match="Length mismatch"):
            workflow.remove_inputs(["click"]).transform(
                Dataset(frame[["brand"]])
            ).to_ddf().compute()


def test_merlin_is_not_imported_before_it_is_needed() -> None:
    script = (
        "import sys, ml.merlin_adapter, ml.ranking, ml.retrieval\n"
        "assert not [m for m in sys.modules if m.startswith(('merlin', 'nvtabular', 'dask'))]"
    )

    subprocess.run([sys.executable, "-c", script], check=True)
