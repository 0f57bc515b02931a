"""An object store that is a folder of this machine, or of a disk that machines share."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from storage.store import MANIFEST, Kept, NoSuchFolder, files_of, into_place, plain

HALVES = (".partial", ".staging")
"""Folders in which others are written before they are moved into place."""


class FolderStore:
    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(self, source: Path, *parts: str) -> None:
        target = self._path(*parts)
        if self.is_complete(*parts):
            return
        with into_place(target) as filled:
            for path in files_of(source):
                shutil.copyfile(path, filled / path.name)

    def is_complete(self, *parts: str) -> bool:
        return (self._path(*parts) / MANIFEST).is_file()

    def sizes(self, *parts: str) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in files_of(self._complete(*parts))}

    def manifest(self, *parts: str) -> bytes:
        return (self._complete(*parts) / MANIFEST).read_bytes()

    def fetch(self, target: Path, *parts: str) -> None:
        source = self._complete(*parts)
        target.mkdir(exist_ok=True)
        for path in files_of(source):
            shutil.copyfile(path, target / path.name)

    def folders(self, *parts: str) -> list[Kept]:
        """Half-written ones are those below HALVES, named `.partial/…`."""
        below = self._path(*parts)
        if not below.is_dir():
            return []
        whole = [path for path in below.iterdir() if not path.name.startswith(".")]
        places = [below / name for name in HALVES if (below / name).is_dir()]
        halves = [path for place in places for path in place.iterdir()]
        return [self._kept(below, path) for path in [*whole, *halves] if path.is_dir()]

    def remove(self, *parts: str) -> None:
        *before, name = parts
        half = name.partition("/")[0] in HALVES
        folder = self._path(*before, *(name.split("/") if half else [name]))
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def _kept(self, below: Path, path: Path) -> Kept:
        newest = max(entry.lstat().st_mtime for entry in [path, *path.rglob("*")])
        return Kept(
            name=path.relative_to(below).as_posix(),
            is_complete=(path / MANIFEST).is_file(),
            written_at=datetime.fromtimestamp(newest, UTC),
        )

    def _complete(self, *parts: str) -> Path:
        if not self.is_complete(*parts):
            raise NoSuchFolder("/".join(parts))
        return self._path(*parts)

    def _path(self, *parts: str) -> Path:
        return self.root.joinpath(*plain(*parts))
