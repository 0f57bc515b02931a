"""One contract for both kinds of object store; S3 is a real server on loopback."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.location import open_store
from storage.s3 import S3Store
from storage.store import MANIFEST, NoSuchFolder, ObjectStore, StoreUnavailable, UnsafePath
from tests.buckets import Bucket


class Killed(BaseException):
    """Nothing catches it."""


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    bucket: Bucket = request.getfixturevalue("bucket")
    return open_store(bucket.location)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, **files: bytes) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, content in {"manifest": b"{}", **files}.items():
            (folder / (MANIFEST if file == "manifest" else file)).write_bytes(content)
        return folder

    return write


def test_what_was_published_is_fetched(
    store: ObjectStore, written: Callable[..., Path], tmp_path: Path
) -> None:
    store.publish(written("source", vectors=b"123"), "releases", "shop", "r1")

    store.fetch(tmp_path / "target", "releases", "shop", "r1")

    assert (tmp_path / "target" / "vectors").read_bytes() == b"123"
    assert store.sizes("releases", "shop", "r1") == {"vectors": 3, MANIFEST: 2}
    assert store.manifest("releases", "shop", "r1") == b"{}"


def test_a_complete_folder_is_never_overwritten(
    store: ObjectStore, written: Callable[..., Path], tmp_path: Path
) -> None:
    store.publish(written("first", vectors=b"first"), "releases", "r1")
    store.publish(written("second", vectors=b"second"), "releases", "r1")

    store.fetch(tmp_path / "target", "releases", "r1")

    assert (tmp_path / "target" / "vectors").read_bytes() == b"first"


def test_a_publication_that_was_cut_off_is_not_there(
    store: ObjectStore,
    written: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = written("source", a=b"1", b=b"2")

    def cut_off(copy: Callable[..., object]) -> Callable[..., object]:
        def once(path: object, *where: object) -> object:
            if str(path).endswith("b"):
                raise Killed
            return copy(path, *where)

        return once

    with monkeypatch.context() as patched:
        if isinstance(store, S3Store):
            patched.setattr(store._s3, "upload_file", cut_off(store._s3.upload_file))
        else:
            patched.setattr("shutil.copyfile", cut_off(shutil.copyfile))
        with pytest.raises(Killed):
            store.publish(source, "releases", "r1")

    assert not store.is_complete("releases", "r1")
    with pytest.raises(NoSuchFolder):
        store.fetch(tmp_path / "target", "releases", "r1")
    assert not any(kept.is_complete for kept in store.folders("releases"))
    store.publish(source, "releases", "r1")
    assert store.sizes("releases", "r1") == {"a": 1, "b": 1, MANIFEST: 2}


def test_folders_below_are_listed_and_removed(
    store: ObjectStore, written: Callable[..., Path]
) -> None:
    source = written("source", vectors=b"123")
    for name in ("r1", "r2"):
        store.publish(source, "releases", "shop", name)

    store.remove("releases", "shop", "r1")
    store.remove("releases", "shop", "r1")

    kept = store.folders("releases", "shop")
    assert [(entry.name, entry.is_complete) for entry in kept] == [("r2", True)]
    assert not store.is_complete("releases", "shop", "r1")
    assert store.folders("releases", "nobody") == []


@pytest.mark.parametrize("name", ["..", "a/b", "", "a\\b", "a\0b"])
def test_no_name_leaves_the_store(
    store: ObjectStore, written: Callable[..., Path], name: str
) -> None:
    with pytest.raises(UnsafePath):
        store.publish(written("source"), "releases", name)
    with pytest.raises(UnsafePath):
        store.is_complete(name, "r1")


def test_two_publications_of_one_folder_do_not_mix(
    bucket: Bucket, written: Callable[..., Path], tmp_path: Path
) -> None:
    """Both find nothing complete; the second one finishes first."""
    slow, quick = written("slow", a=b"slow", b=b"slow"), written("quick", a=b"quick", b=b"quick")

    class Interrupted(S3Store):
        def is_complete(self, *parts: str) -> bool:
            return False

    first = Interrupted(bucket.name, "")
    upload = first._s3.upload_file

    def overtaken(path: str, *where: str) -> None:
        upload(path, *where)
        if path.endswith("a"):
            open_store(bucket.location).publish(quick, "releases", "r1")

    first._s3.upload_file = overtaken
    first.publish(slow, "releases", "r1")

    open_store(bucket.location).fetch(tmp_path / "target", "releases", "r1")
    assert {(tmp_path / "target" / name).read_bytes() for name in "ab"} == {b"quick"}


def test_a_hostile_key_is_not_written_outside(
    bucket: Bucket, written: Callable[..., Path], tmp_path: Path
) -> None:
    store = open_store(bucket.location)
    store.publish(written("source", a=b"1"), "releases", "r1")
    publication = bucket.listing()[0].split("/")[2]
    bucket.put(f"releases/r1/{publication}/x/../../../../escaped", b"!")

    with pytest.raises(UnsafePath):
        store.fetch(tmp_path / "target", "releases", "r1")

    assert not list(tmp_path.rglob("escaped"))


def test_a_store_that_is_away_is_said_in_words(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")

    with pytest.raises(StoreUnavailable, match="does not answer"):
        open_store(bucket.location).is_complete("releases", "r1")
