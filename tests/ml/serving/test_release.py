"""A release is trusted only when every file is what its manifest says."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from ml.golden import check_golden
from ml.release import (
    ENGINE_VERSION,
    MANIFEST,
    Manifest,
    ReleaseRejected,
    verify_release,
    write_manifest,
)
from ml.serving.engine import load_release
from tests.ml.small_release import write_small_release


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_small_release(tmp_path)


def rewrite(folder: Path, **changes: object) -> None:
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    changed = msgspec.structs.replace(manifest, **changes)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(changed))


def test_a_complete_release_loads_and_gives_its_golden_answers(folder: Path) -> None:
    check_golden(load_release(folder), folder)


def test_a_release_without_manifest_is_unfinished(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(ReleaseRejected, match="never completed"):
        load_release(folder)


@pytest.mark.parametrize("name", ["items.msgpack", "ranker.onnx", "ease_items.npy"])
def test_a_flipped_byte_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ReleaseRejected, match="hash"):
        load_release(folder)


def test_a_truncated_file_is_found(folder: Path) -> None:
    path = folder / "item_vectors.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ReleaseRejected, match="bytes"):
        verify_release(folder)


def test_a_file_outside_the_folder_is_refused(folder: Path) -> None:
    entry = verify_release(folder).files["items.msgpack"]
    rewrite(folder, files={"../secret": entry})
    with pytest.raises(ReleaseRejected, match="no file of a release"):
        load_release(folder)


def test_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "items.msgpack"
    target = tmp_path / "elsewhere"
    path.rename(target)
    path.symlink_to(target)
    with pytest.raises(ReleaseRejected, match="plain file"):
        load_release(folder)


@pytest.mark.parametrize("version", [0, ENGINE_VERSION + 1])
def test_another_schema_or_engine_is_refused(folder: Path, version: int) -> None:
    rewrite(folder, engine_version=version)
    with pytest.raises(ReleaseRejected, match="engine"):
        load_release(folder)


def test_features_the_engine_does_not_compute_are_refused(folder: Path) -> None:
    rewrite(folder, dense_features=["made up"])
    with pytest.raises(ReleaseRejected, match="features"):
        load_release(folder)


def test_vectors_that_are_not_finite_are_refused(folder: Path) -> None:
    vectors = np.load(folder / "item_vectors.npy")
    vectors[3, 0] = np.nan
    np.save(folder / "item_vectors.npy", vectors)
    write_manifest(folder, verify_manifest(folder))
    with pytest.raises(ReleaseRejected, match="finite"):
        load_release(folder)


def test_neighbours_that_do_not_exist_are_refused(folder: Path) -> None:
    items = np.load(folder / "ease_items.npy")
    np.save(folder / "ease_items.npy", np.where(items == 0, 255, items))
    write_manifest(folder, verify_manifest(folder))
    with pytest.raises(ReleaseRejected, match="do not exist"):
        load_release(folder)


def test_edges_that_do_not_ascend_are_refused(folder: Path) -> None:
    edges = np.load(folder / "ranker_edges.npy")
    np.save(folder / "ranker_edges.npy", np.concatenate([edges + 1, edges], axis=1))
    write_manifest(folder, verify_manifest(folder))
    with pytest.raises(ReleaseRejected, match="ascending"):
        load_release(folder)


def test_a_network_that_is_none_is_refused(folder: Path) -> None:
    (folder / "ranker.onnx").write_bytes(b"not a network")
    write_manifest(folder, verify_manifest(folder))
    with pytest.raises(ReleaseRejected, match=r"ranker\.onnx"):
        load_release(folder)


def test_a_pickle_is_never_opened(folder: Path) -> None:
    np.save(folder / "item_codes.npy", np.array([{"a": 1}], object), allow_pickle=True)
    write_manifest(folder, verify_manifest(folder))
    with pytest.raises(ReleaseRejected, match="cannot be read"):
        load_release(folder)


def verify_manifest(folder: Path) -> Manifest:
    return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
