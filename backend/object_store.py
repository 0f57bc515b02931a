"""Immutable files: a folder on this machine."""

import os
import shutil
from pathlib import Path


class UnsafePath(Exception):
    """A name that would leave its folder."""


def object_path(root: Path, *parts: str) -> Path:
    """Path of an object below `root`. Raises UnsafePath for a part that is not a plain name."""
    for part in parts:
        if not part or part in {".", ".."} or "/" in part or "\\" in part or "\0" in part:
            raise UnsafePath("object names are plain names")
    return root.joinpath(*parts)


def publish_folder(staged: Path, final: Path) -> None:
    """Move a complete folder into place at once; an existing one is left as it is."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        shutil.rmtree(staged)
        return
    os.replace(staged, final)
