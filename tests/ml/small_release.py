"""A hand-made release of twelve products: small enough to reason about, enough to serve."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from ml.golden import write_golden
from ml.release import (
    ENGINE_VERSION,
    SCHEMA_VERSION,
    Blend,
    Calibration,
    Gate,
    Manifest,
    Metrics,
    Snapshot,
    write_manifest,
)
from ml.serving.blend import PRIOR
from ml.serving.candidate_features import CODE_FEATURES, DENSE_FEATURES
from ml.serving.engine import load_release
from ml.serving.ranker import EDGES, NETWORK
from ml.serving.session_tables import NOTHING, Sessions
from ml.serving.sources import CANDIDATES_PER_SOURCE
from ml.serving.tables import Neighbours, Tables
from ml.serving.tables_files import save_tables

NOW_S = 1_700_000_000
PRODUCTS = [f"p{number:02}" for number in range(12)]
RANKED_BY = "trend 7 d"
"""The hand-made ranker's logit is this feature."""


def small_tables(sessions: Sessions = NOTHING) -> Tables:
    """p00 is the most popular, p11 the least; each goes with the next two; pairs share a brand."""
    n = len(PRODUCTS)
    position = np.arange(n, dtype=np.int32)
    following = np.stack([(position + 1) % n, (position + 2) % n], axis=1)
    links = Neighbours(following.astype(np.int32), np.tile(np.float32([0.9, 0.4]), (n, 1)))
    popularity = np.linspace(12, 1, n).astype(np.float32)
    angles = np.linspace(0, np.pi, n)
    return Tables(
        cut_s=NOW_S,
        product_ids=PRODUCTS,
        markets=["", "DE"],
        department=(position // 6 + 1).astype(np.int32),
        category=(position // 3 + 1).astype(np.int32),
        brand=(position // 2 + 1).astype(np.int32),
        log_price=np.log(100 + 50 * position).astype(np.float32),
        category_log_price=np.log(150 + 50 * position).astype(np.float32),
        first_seen_s=np.full(n, NOW_S - 90 * 86_400, np.int64),
        trends=np.stack([popularity] * 4, axis=1),
        popularity=popularity,
        market_trends=np.stack([popularity, popularity[::-1]]),
        rebuy_rate=np.full(n, 0.2, np.float32),
        rebuy_days=np.full(n, 30, np.float32),
        return_rate=np.full(n, 0.1, np.float32),
        co_purchase=links,
        ease=links,
        content=links,
        candidates=CANDIDATES_PER_SOURCE,
        item_vectors=np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32),
        sessions=sessions,
    )


def write_small_release(
    releases: Path,
    release_id: str = "r1",
    champion: str = "own-models",
    tenant_id: str = "t",
    sessions: Sessions = NOTHING,
) -> Path:
    """Write a complete release and return its folder."""
    folder = releases / release_id
    folder.mkdir(parents=True)
    save_tables(small_tables(sessions), folder)
    if champion == "own-models":
        onnx.save(_ranker(), folder / NETWORK)
        np.save(folder / EDGES, np.zeros((len(DENSE_FEATURES), 1), np.float32))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        engine_version=ENGINE_VERSION,
        tenant_id=tenant_id,
        release_id=release_id,
        parent_release_id=None,
        created_at="2023-11-14T22:13:20+00:00",
        snapshot=Snapshot(
            products=len(PRODUCTS),
            shoppers=3,
            events=100,
            unknown_events=0,
            first_event_s=NOW_S - 90 * 86_400,
            cut_s=NOW_S,
        ),
        metrics=Metrics(
            gate=Gate(
                passed=champion == "own-models",
                verdict="Own models serve: made by hand.",
                champion=champion,
                repeat_champion=champion,
                shoppers=100,
            )
        ),
        dense_features=list(DENSE_FEATURES),
        code_features=list(CODE_FEATURES),
        calibration=Calibration(logits=[0.0, 5.0], probabilities=[0.0, 1.0]),
        blend=Blend(new=dict(PRIOR["new"]), repeat=dict(PRIOR["repeat"])),
        files={},
    )
    write_manifest(folder, manifest)
    write_golden(load_release(folder), folder)
    write_manifest(folder, manifest)
    return folder


def _ranker() -> onnx.ModelProto:
    column = DENSE_FEATURES.index(RANKED_BY)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["dense", "column"], ["logit"], axis=1)],
        "by_one_feature",
        [
            helper.make_tensor_value_info("dense", TensorProto.FLOAT, ["n", len(DENSE_FEATURES)]),
            helper.make_tensor_value_info("buckets", TensorProto.UINT8, ["n", len(DENSE_FEATURES)]),
            helper.make_tensor_value_info("codes", TensorProto.INT64, ["n", len(CODE_FEATURES)]),
        ],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor("column", TensorProto.INT64, [], [column])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
