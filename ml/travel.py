"""Training sets come from an object store, and releases go there, by way of a scratch folder."""

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from ml.publish import Destination
from ml.release import MANIFEST
from storage.location import is_remote, open_store
from storage.store import NoSuchFolder, ObjectStore


@contextmanager
def brought_here(
    dataset: str, releases: str, destination: Callable[[Path], Destination], scratch: Path
) -> Generator[tuple[Path, Destination, Callable[[], None]]]:
    """The data set and the destination as folders of this machine, and how to deliver.

    Folders stay what they are, and delivering does nothing. What was brought is gone afterwards.
    """
    if not is_remote(releases):
        yield Path(dataset), destination(Path(releases)), lambda: None
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        here = destination(Path(folder) / "releases")
        here.releases.mkdir()
        data = Path(folder) / "dataset"
        open_store(dataset).fetch(data)
        store = open_store(releases)
        bring_known(store, here)
        yield data, here, lambda: store.publish(here.folder, here.release_id)


def bring_known(store: ObjectStore, here: Destination) -> None:
    """What an earlier run of this training delivered, and what the release in service reached."""
    if store.is_complete(here.release_id):
        store.fetch(here.folder, here.release_id)
    if here.parent_release_id is None:
        return
    try:
        manifest = store.manifest(here.parent_release_id)
    except NoSuchFolder:
        return
    parent = here.releases / here.parent_release_id
    parent.mkdir()
    (parent / MANIFEST).write_bytes(manifest)
