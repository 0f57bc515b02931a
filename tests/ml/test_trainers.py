"""Merlin's networks and those of torch alone: equal weights, equal batches, equal curves."""

import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch

from ml import metrics
from ml.features import CATEGORICAL, encode_catalogue
from ml.networks import NetworkKind
from ml.quantiles import fit_quantiles
from ml.ranking import RankerConfig, RankerKind, fit, kept_epoch, network_inputs, network_shape
from ml.retrieval import TowerConfig, train_two_tower
from ml.shop import Shop
from ml.towers import Towers
from ml.trainers import Trainer, builder
from tests.ml.test_ranking import Rows, shop, train
from tests.ml.toy_shop import toy_shop

NETWORKS: tuple[NetworkKind, ...] = get_args(NetworkKind)
TRAINERS: tuple[Trainer, ...] = get_args(Trainer)
KINDS: tuple[RankerKind, ...] = (*NETWORKS, "two-tower")


def silent(_fraction: float, _figures: dict[str, float]) -> None:
    pass


@pytest.mark.parametrize("kind", NETWORKS)
def test_both_trainers_draw_one_curve_from_equal_weights(kind: NetworkKind) -> None:
    rows, valid = shop(60, 1), shop(30, 2)
    config = RankerConfig(kind=kind, epochs=3, groups_at_once=4, patience=9)
    edges = fit_quantiles(rows.dense, config.bins)
    inputs = network_inputs(rows, edges)
    merlin, plain = (
        builder(name).build_ranker(kind, network_shape(inputs, config)) for name in TRAINERS
    )
    plain.module.load_state_dict(merlin.slim().state_dict())

    with builder("merlin").quiet():
        _, merlins = fit(merlin, inputs, edges, rows, valid, config, silent)
    _, plains = fit(plain, inputs, edges, rows, valid, config, silent)

    assert merlins["train_loss"][-1] < merlins["train_loss"][0]
    for name in ("train_loss", "valid_loss"):
        assert merlins[name] == pytest.approx(plains[name], abs=1e-5)


@pytest.fixture(scope="module")
def toy() -> tuple[Rows, Rows, Rows]:
    return shop(200, 1), shop(100, 2), shop(100, 9)


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_learns_what_drives_choice_by_either_trainer(
    kind: NetworkKind, toy: tuple[Rows, Rows, Rows]
) -> None:
    rows, valid, unseen = toy
    aucs = [
        metrics.auc(
            unseen.label,
            train(
                rows, valid, RankerConfig(kind=kind, trainer=name, epochs=7, groups_at_once=4)
            ).logits(unseen),
        )
        for name in TRAINERS
    ]

    assert min(aucs) > 0.8
    assert aucs[0] == pytest.approx(aucs[1], abs=0.01)


def test_the_encoding_of_a_catalogue_is_the_same_without_nvtabular() -> None:
    products = toy_shop().products
    merlins, plains = (encode_catalogue(products, trainer) for trainer in TRAINERS)

    assert plains.cardinalities == merlins.cardinalities
    assert plains.dense == pytest.approx(merlins.dense, abs=1e-4)
    for column, name in enumerate(CATEGORICAL):
        assert plains.encoding.vocabularies[name].keys() == (
            merlins.encoding.vocabularies[name].keys()
        )
        pairs = np.stack([plains.codes[:, column], merlins.codes[:, column]])
        assert len(np.unique(pairs, axis=1).T) == len(np.unique(pairs[0]))  # codes but renamed


@pytest.fixture(scope="module")
def toy_products() -> Shop:
    return toy_shop()


def test_towers_with_equal_weights_give_equal_vectors(toy_products: Shop) -> None:
    items = encode_catalogue(toy_products.products, "torch")
    merlin, plain = (Towers(items, 1, 1, 16, builder(name)) for name in TRAINERS)
    with torch.no_grad():
        for ours, theirs in zip(plain.parameters(), merlin.parameters(), strict=True):
            ours.copy_(theirs)

    with builder("merlin").quiet():
        none = np.zeros(len(items.codes), bool)
        assert plain.item_vectors(none) == pytest.approx(merlin.item_vectors(none), abs=1e-6)


def test_towers_of_either_trainer_find_about_as_much(toy_products: Shop) -> None:
    items = encode_catalogue(toy_products.products, "torch")
    recalls = [
        train_two_tower(
            toy_products.log,
            items,
            1,
            toy_products.traits,
            TowerConfig(trainer=name, passes=1, batch_size=256, held_out=300, dim=16),
            lambda _fraction, _figures: None,
        ).metrics["loss"]
        for name in TRAINERS
    ]

    assert recalls[0] == pytest.approx(recalls[1], abs=0.1)


def test_a_shop_is_trained_where_merlin_cannot_be_imported() -> None:
    script = """
import sys
for name in ("merlin", "nvtabular"):
    sys.modules[name] = None
from ml.ranking import RankerConfig
from ml.retrieval import TowerConfig
from ml.train import Cuts, TrainConfig, train_shop
from tests.ml.toy_shop import toy_shop

shop = toy_shop()
config = TrainConfig(
    towers=TowerConfig(passes=1, batch_size=256, held_out=200), ranker=RankerConfig(epochs=1)
).with_models("dlrm", "torch")
trained = train_shop(shop, Cuts.of_log(shop.log), config, lambda *_: None)
assert trained.ranker is not None
assert trained.metrics.ranker["auc"] > 0.6
"""

    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_either_trainer_keeps_to_the_threads_it_is_given(trainer: Trainer) -> None:
    torch.set_num_threads(1)
    try:
        train(shop(5, 1), shop(5, 2), RankerConfig(trainer=trainer, threads=2, epochs=1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_kept_epoch_is_the_last_before_the_loss_climbs() -> None:
    assert kept_epoch([0.9, 0.5, 0.4, 0.41, 0.39]) == 4
    assert kept_epoch([0.9, 0.5, 0.5, 0.6]) == 1
    assert kept_epoch([float("inf")]) == 0


def test_training_stops_when_the_loss_climbs_and_keeps_what_was_before() -> None:
    rows, valid = shop(6, 1), shop(60, 2)  # too few to learn from for long
    config = RankerConfig(
        trainer="torch", epochs=40, patience=2, learning_rate=0.02, dropout=0.0, weight_decay=0.0
    )

    ranker = train(rows, valid, config)
    loss = ranker.curve["valid_loss"]
    kept = kept_epoch(loss)

    assert len(loss) < config.epochs
    assert len(loss) == kept + 1 + config.patience
    assert loss[kept] == min(loss)
    shorter = train(rows, valid, RankerConfig(trainer="torch", epochs=1))
    assert ranker.metrics["auc"] != shorter.metrics["auc"]
    assert ranker.metrics["auc"] == pytest.approx(ranker.curve["valid_auc"][kept], abs=1e-6)
