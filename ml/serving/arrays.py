"""Arrays of a release, read without trusting what their files say of themselves."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.release import ReleaseRejected


def read_arrays(path: Path) -> dict[str, NDArray]:
    """All arrays of an `.npz`, which must not be compressed: a small file could hold a huge one."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ReleaseRejected(f"{path.name} is compressed: it could be any size unpacked")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


def require_codes(name: str, codes: NDArray, most: int) -> None:
    """Whole numbers from 0, below `most`. Raises ReleaseRejected."""
    if codes.dtype.kind not in "iu":
        raise ReleaseRejected(f"{name} does not hold whole numbers")
    if codes.size and not (codes.min() >= 0 and codes.max() < most):
        raise ReleaseRejected(f"{name} holds codes that cannot be right")
