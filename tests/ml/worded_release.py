"""The small release with titles: its first six products are teas, its last six hammers."""

from pathlib import Path

import msgspec
import pyarrow as pa

from ml.content.neighbours import content_neighbours
from ml.content.text import fit_text, product_texts, sparse_rows
from ml.dataset import PRODUCTS as SCHEMA
from ml.golden import write_golden
from ml.release import NewcomerModel, read_manifest, write_manifest
from ml.serving.engine import load_release
from ml.serving.tables_files import save_tables
from tests.ml.small_release import PRODUCTS, small_tables, write_small_release

TITLES = [f"{taste} {thing}" for taste in ("green tea", "steel hammer") for thing in range(6)]
BY_WORDS = NewcomerModel(mean=[0.0] * 3, deviation=[1.0] * 3, weights=[6.0, 0.0, 0.0], bias=-3.0)


def write_worded_release(releases: Path, release_id: str = "r1", tenant_id: str = "t") -> Path:
    """Write a complete release, which takes in products that arrive later; return its folder."""
    folder = write_small_release(releases, release_id=release_id, tenant_id=tenant_id)
    rows = [{"product_id": p, "title": t} for p, t in zip(PRODUCTS, TITLES, strict=True)]
    text = fit_text(product_texts(pa.Table.from_pylist(rows, schema=SCHEMA)))
    tables = small_tables()._replace(
        content=content_neighbours(text.telling, 5),
        words=sparse_rows(text.telling),
        vocabulary=text.vocabulary,
    )
    save_tables(tables, folder)
    manifest = msgspec.structs.replace(read_manifest(folder), newcomers=BY_WORDS)
    write_manifest(folder, manifest)
    write_golden(load_release(folder), folder)
    write_manifest(folder, manifest)
    return folder
