"""Write what was trained as a release, try it, and only then let it be seen."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from ml.dataset import DatasetRejected, read_dataset
from ml.golden import check_golden, write_golden
from ml.progress import Report
from ml.release import (
    ENGINE_VERSION,
    MANIFEST,
    SCHEMA_VERSION,
    Gate,
    Manifest,
    Objective,
    ReleaseRejected,
    Snapshot,
    read_manifest,
    verify_release,
    write_manifest,
)
from ml.serving.candidate_features import CODE_FEATURES, DENSE_FEATURES
from ml.serving.engine import load_release
from ml.serving.tables_files import save_tables
from ml.shop import Shop, build_shop
from ml.train import Encoders, TrainConfig, Trained, train_shop
from ml.windows import Cuts

VECTORS = ".vectors"
"""Folder beside a tenant's releases where the vectors of its products are kept."""


class Destination(Struct, frozen=True, kw_only=True):
    """Where a release goes and whose it is."""

    tenant_id: str
    release_id: str
    releases: Path
    """Folder of the tenant's releases."""
    parent_release_id: str | None = None
    objective: Objective = "auto"

    @property
    def folder(self) -> Path:
        return self.releases / self.release_id


def train_release(
    dataset: Path, destination: Destination, report: Report, encoders: Encoders | None = None
) -> dict[str, Any]:
    """Read, train, publish; the answer is for `training.receive`.

    Safe to run twice: a complete release is kept as it is. What the encoders find is kept
    beside the tenant's releases.
    """
    try:
        if not (destination.folder / MANIFEST).exists():
            report("read", 0.0, {})
            shop = build_shop(read_dataset(dataset))
            report("read", 1.0, {"events": len(shop.log.ts), "products": len(shop.product_ids)})
            if not len(shop.log.ts):
                return {"failed": "There are no events of known products yet."}
            parent = _parent_gate(destination)
            config = TrainConfig(
                objective=destination.objective,
                encoders=structs.replace(
                    encoders or Encoders(), cache=str(destination.releases / VECTORS)
                ),
            )
            trained = train_shop(shop, Cuts.of_log(shop.log), config, report, parent)
            publish(shop, trained, destination, report)
        gate = verify_release(destination.folder).metrics.gate
    except (DatasetRejected, ReleaseRejected) as error:
        return {"failed": str(error)}
    return {
        "release_id": destination.release_id,
        "serve": not gate.keeps_parent,
        "reason": None if gate.passed else gate.verdict,
    }


def _parent_gate(destination: Destination) -> Gate | None:
    if destination.parent_release_id is None:
        return None
    try:
        manifest = read_manifest(destination.releases / destination.parent_release_id)
    except ReleaseRejected:
        return None
    return manifest.metrics.gate


def publish(shop: Shop, trained: Trained, destination: Destination, report: Report) -> Manifest:
    """Write to a staging folder, answer the golden requests from it, move it into place.

    Raises ReleaseRejected when what was written cannot answer.
    """
    report("release", 0.0, {})
    staged = destination.releases / ".staging" / destination.release_id
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    save_tables(trained.retriever.tables, staged)
    if trained.retriever.towers is not None:
        trained.retriever.towers.export(staged)
    if trained.ranker is not None:
        trained.ranker.export(staged)
    manifest = _manifest(shop, trained, destination)
    write_manifest(staged, manifest)
    report("release", 0.5, {})
    write_golden(load_release(staged), staged)
    complete = write_manifest(staged, manifest)
    check_golden(load_release(staged), staged)
    shutil.rmtree(destination.folder, ignore_errors=True)
    staged.rename(destination.folder)
    report("release", 1.0, {})
    return complete


def _manifest(shop: Shop, trained: Trained, destination: Destination) -> Manifest:
    log = shop.log
    return Manifest(
        schema_version=SCHEMA_VERSION,
        engine_version=ENGINE_VERSION,
        tenant_id=destination.tenant_id,
        release_id=destination.release_id,
        parent_release_id=destination.parent_release_id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        snapshot=Snapshot(
            products=len(shop.product_ids),
            shoppers=len(shop.shopper_ids),
            events=len(log.ts),
            unknown_events=shop.unknown_events,
            first_event_s=int(log.ts[0]),
            cut_s=trained.retriever.tables.cut_s,
        ),
        metrics=trained.metrics,
        dense_features=list(DENSE_FEATURES),
        code_features=list(CODE_FEATURES),
        objective=destination.objective,
        calibration=None if trained.ranker is None else trained.ranker.calibration,
        blend=trained.blend,
        newcomers=trained.newcomers,
        files={},
    )
