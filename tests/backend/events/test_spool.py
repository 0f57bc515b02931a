"""The spool: what was acknowledged is read back, and nothing else."""

from pathlib import Path

import pytest

from backend.events.spool import Spool, SpoolFull, claim, done_with, records


def written(folder: Path, *payloads: bytes) -> Path:
    spool = Spool(folder, 1_000_000)
    for payload in payloads:
        spool.append(payload)
    spool.close()
    return spool.segments()[-1]


def test_records_come_back_in_order(tmp_path: Path) -> None:
    assert list(records(written(tmp_path, b"one", b"", b"three" * 1000))) == [
        b"one",
        b"",
        b"three" * 1000,
    ]


@pytest.mark.parametrize("lost", [1, 4, 9])
def test_a_torn_end_is_left_out(tmp_path: Path, lost: int) -> None:
    segment = written(tmp_path, b"whole", b"torn")
    segment.write_bytes(segment.read_bytes()[:-lost])

    assert list(records(segment)) == [b"whole"]


def test_a_damaged_record_is_not_believed(tmp_path: Path) -> None:
    segment = written(tmp_path, b"whole", b"damaged")
    segment.write_bytes(segment.read_bytes().replace(b"damaged", b"dAmaged"))

    assert list(records(segment)) == [b"whole"]


def test_the_limit_is_of_all_segments_together(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, 100), Spool(tmp_path, 100)
    first.append(b"x" * 40)
    second.append(b"x" * 40)

    with pytest.raises(SpoolFull):
        first.append(b"x" * 40)

    first.close()
    second.close()


def test_a_segment_in_use_cannot_be_claimed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(b"one")
    [segment] = spool.segments()

    with claim(segment) as is_ours:
        assert not is_ours
    spool.close()
    with claim(segment) as is_ours, claim(segment) as is_theirs:
        assert is_ours
        assert not is_theirs


def test_after_a_failed_write_the_next_record_begins_another_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(b"one")

    def no_space(segment: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("backend.events.spool.os.fsync", no_space)
        with pytest.raises(OSError, match="No space"):
            spool.append(b"not acknowledged")
    spool.append(b"two")
    spool.close()

    first, second = spool.segments()
    assert next(records(first)) == b"one"
    assert list(records(second)) == [b"two"]


def test_a_segment_is_deleted_or_put_aside(tmp_path: Path) -> None:
    read, unreadable = written(tmp_path, b"one"), written(tmp_path, b"two")

    done_with(read, is_readable=True)
    done_with(unreadable, is_readable=False)

    assert [path.suffix for path in tmp_path.iterdir()] == [".unreadable"]
