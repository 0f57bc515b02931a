"""Where releases and training sets are: on this machine, and in the object store behind it.

Without a bucket the folder on this machine is the store. With one it holds what was fetched, in
the same places, so whoever reads a release reads `releases/{tenant}/{release}` of a folder.
"""

import os
import shutil
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from backend.settings import Settings
from ml.release import ReleaseRejected, read_manifest, require_sizes, verify_release
from storage.location import open_store
from storage.store import MANIFEST, NoSuchFolder, ObjectStore, into_place, plain

RELEASES, DATASETS = "releases", "datasets"


class Depot(Struct, frozen=True, kw_only=True):
    folder: Path
    """On this machine."""
    remote: ObjectStore | None = None
    """Where the truth is, if not in `folder`."""
    remote_location: str = ""

    def location(self, *parts: str) -> str:
        """What a trainer on another machine finds it by; a folder must be on a shared disk."""
        if self.remote is None:
            return str(object_path(self.folder, *parts).resolve())
        return "/".join([self.remote_location.rstrip("/"), *plain(*parts)])


def open_depot(settings: Settings) -> Depot:
    bucket = settings.bucket
    if bucket is None:
        return Depot(folder=settings.object_store)
    return Depot(folder=settings.object_store, remote=open_store(bucket), remote_location=bucket)


def object_path(root: Path, *parts: str) -> Path:
    """Path of an object below `root`. Raises UnsafePath for a part that is not a plain name."""
    return root.joinpath(*plain(*parts))


def publish_folder(staged: Path, final: Path) -> None:
    """Move a complete folder into place at once; an existing one is left as it is."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        shutil.rmtree(staged)
        return
    os.replace(staged, final)


def fetch_release(depot: Depot, tenant_id: UUID, release_id: str) -> Path:
    """The release on this machine, verified when it came from elsewhere. Safe to repeat.

    Raises ReleaseRejected, UnsafePath, StoreUnavailable.
    """
    parts = (RELEASES, str(tenant_id), release_id)
    target = object_path(depot.folder, *parts)
    if depot.remote is None or target.exists():
        return target
    try:
        with into_place(target) as folder:
            _refuse_unsound_sizes(depot.remote, folder, parts)
            depot.remote.fetch(folder, *parts)
            verify_release(folder)
    except NoSuchFolder as error:
        raise ReleaseRejected("the release has no manifest: it was never completed") from error
    return target


def _refuse_unsound_sizes(remote: ObjectStore, folder: Path, parts: tuple[str, ...]) -> None:
    """Before anything large is copied: only files of the manifest, of the sizes it says."""
    (folder / MANIFEST).write_bytes(remote.manifest(*parts))
    manifest = read_manifest(folder)
    require_sizes(manifest)
    promised = {name: entry.size for name, entry in manifest.files.items()}
    found = {name: size for name, size in remote.sizes(*parts).items() if name != MANIFEST}
    if found != promised:
        names = ", ".join(sorted({name for name, _ in found.items() ^ promised.items()}))
        raise ReleaseRejected(f"what is stored has not the sizes of the manifest: {names}")
