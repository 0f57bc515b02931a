"""A hostile release is refused, whatever its hashes say."""

import resource
from pathlib import Path

import pytest

from ml.release import ReleaseRejected
from ml.serving.release import load_release
from tests.ml.hostile import HOSTILE
from tests.ml.small_release import write_small_release


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_release_is_refused(tmp_path: Path, attack: str) -> None:
    folder = write_small_release(tmp_path)
    HOSTILE[attack](folder)

    with pytest.raises(ReleaseRejected):
        load_release(folder)


def test_a_zip_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    folder = write_small_release(tmp_path)
    HOSTILE["zip bomb"](folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(ReleaseRejected, match="unpacked"):
        load_release(folder)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
