"""Ways in which a release can be made to harm its reader, each with hashes that agree."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper

from ml.release import ENGINE_VERSION, MANIFEST, FileEntry, Manifest, write_manifest
from ml.serving.candidate_features import DENSE_FEATURES
from ml.serving.tables_files import Items


def manifest_of(folder: Path) -> Manifest:
    return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)


def says(folder: Path, **changes: object) -> None:
    """Only the manifest changes."""
    changed = msgspec.structs.replace(manifest_of(folder), **changes)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(changed))


def vouched_for(folder: Path) -> None:
    """The manifest agrees with whatever the files are now."""
    write_manifest(folder, manifest_of(folder))


def path_traversal(folder: Path) -> None:
    files = manifest_of(folder).files
    says(folder, files={**files, "../../other/r1/items.msgpack": files["items.msgpack"]})


def symlink(folder: Path) -> None:
    target = folder.parent / f".elsewhere-{folder.name}"
    (folder / "items.msgpack").rename(target)
    (folder / "items.msgpack").symlink_to(target)


def wrong_hash(folder: Path) -> None:
    files = manifest_of(folder).files
    size = files["items.msgpack"].size
    says(folder, files={**files, "items.msgpack": FileEntry(sha256="0" * 64, size=size)})


def truncated(folder: Path) -> None:
    content = (folder / "ease_items.npy").read_bytes()
    (folder / "ease_items.npy").write_bytes(content[:-10])


def truncated_but_vouched_for(folder: Path) -> None:
    truncated(folder)
    vouched_for(folder)


def oversized(folder: Path) -> None:
    with (folder / "item_vectors.npy").open("r+b") as file:
        file.truncate((1 << 30) + 1)  # sparse: no disk is used
    files = manifest_of(folder).files
    entry = FileEntry(sha256=files["item_vectors.npy"].sha256, size=(1 << 30) + 1)
    says(folder, files={**files, "item_vectors.npy": entry})


def unlisted_file(folder: Path) -> None:
    (folder / "words.npz").write_bytes(b"not in the manifest")


def unknown_engine(folder: Path) -> None:
    says(folder, engine_version=ENGINE_VERSION + 1)


def _array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        np.save(folder / name, change(np.load(folder / name)))
        vouched_for(folder)

    return spoil


def _with(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array.flat[0] = value
        return array

    return change


def _last_is_nan(array: np.ndarray) -> np.ndarray:
    array[-1, -1] = np.nan
    return array


def duplicate_products(folder: Path) -> None:
    path = folder / "items.msgpack"
    items = msgspec.msgpack.decode(path.read_bytes(), type=Items)
    twice = [items.product_ids[1], *items.product_ids[1:]]
    path.write_bytes(msgspec.msgpack.encode(msgspec.structs.replace(items, product_ids=twice)))
    vouched_for(folder)


def pickled_objects(folder: Path) -> None:
    np.save(folder / "item_codes.npy", np.array([{"a": 1}], object), allow_pickle=True)
    vouched_for(folder)


def zip_bomb(folder: Path) -> None:
    """A few kilobytes that unpack to a quarter of a gigabyte of zeros."""
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (12, 5_000_000)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(folder / "sessions.npz", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("visit_item.npy", header.getvalue() + bytes(240_000_000))
    vouched_for(folder)


def _network(folder: Path, *, columns: int, name: str, external: bool = False) -> None:
    weight = helper.make_tensor("column", TensorProto.INT64, [], [0])
    if external:
        weight.ClearField("int64_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "../../../etc/hostname"), ("length", "8")):
            weight.external_data.add(key=key, value=value)
    dense = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", columns])
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"])
    gather = helper.make_node("Gather", [name, "column"], ["logit"], axis=1)
    graph = helper.make_graph([gather], "hostile", [dense], [logit], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (folder / "ranker.onnx").write_bytes(model.SerializeToString())
    vouched_for(folder)


def network_with_external_data(folder: Path) -> None:
    _network(folder, columns=len(DENSE_FEATURES), name="dense", external=True)


def network_of_other_inputs(folder: Path) -> None:
    _network(folder, columns=len(DENSE_FEATURES), name="something")


def network_of_another_width(folder: Path) -> None:
    model = onnx.load(folder / "ranker.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    (folder / "ranker.onnx").write_bytes(model.SerializeToString())
    vouched_for(folder)


HOSTILE: dict[str, Callable[[Path], None]] = {
    "path traversal": path_traversal,
    "symlink": symlink,
    "wrong hash": wrong_hash,
    "truncated": truncated,
    "truncated, hash agrees": truncated_but_vouched_for,
    "oversized": oversized,
    "file that is not listed": unlisted_file,
    "unknown engine": unknown_engine,
    "NaN in vectors": _array("item_vectors.npy", _with(np.nan)),
    "infinity in vectors": _array("item_vectors.npy", _with(np.inf)),
    "infinite price": _array("item_features.npy", _with(np.inf)),
    "NaN in features": _array("item_features.npy", _last_is_nan),
    "vectors of another length": _array("item_vectors.npy", lambda array: array[:-1]),
    "vectors of text": _array("item_vectors.npy", lambda array: array.astype("U8")),
    "codes of another width": _array("item_codes.npy", lambda array: array[:, :2]),
    "codes below zero": _array("item_codes.npy", _with(-5)),
    "codes that are no integers": _array("item_codes.npy", lambda array: array.astype("f4")),
    "neighbour out of range": _array("ease_items.npy", _with(200)),
    "NaN in neighbours": _array("ease_weights.npy", _with(np.nan)),
    "neighbours of no dimension": _array("ease_items.npy", lambda array: array[:, 0]),
    "duplicate products": duplicate_products,
    "pickled objects": pickled_objects,
    "zip bomb": zip_bomb,
    "network with external data": network_with_external_data,
    "network of other inputs": network_of_other_inputs,
    "network of another width": network_of_another_width,
}
