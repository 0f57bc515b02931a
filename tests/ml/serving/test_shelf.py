"""What is kept of releases: read once, within a cap, and broken ones left alone for a while."""

import threading
from collections.abc import Iterator

import pytest
from msgspec import Struct

from ml.serving.shelf import RETRY_BROKEN_AFTER_S, ReleaseKey, ReleaseUnusable, Shelf


class Thing(Struct, frozen=True):
    key: ReleaseKey
    nbytes: int = 10


class Reader:
    """Reads things, fails where it is told to, and waits where it is held up."""

    def __init__(self) -> None:
        self.read: list[ReleaseKey] = []
        self.is_broken = False
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.now_s = 0.0

    def __call__(self, key: ReleaseKey) -> Thing:
        assert self.may_go_on.wait(10)
        self.read.append(key)
        if self.is_broken:
            raise ValueError("the disk is wet")
        return Thing(key)


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def shelf(reader: Reader) -> Iterator[Shelf[Thing]]:
    opened = Shelf(reader, capacity_bytes=25, clock=lambda: reader.now_s)
    yield opened
    opened.close()


def key(number: int) -> ReleaseKey:
    return "shop", f"r{number}"


def test_those_who_ask_at_once_share_one_reading(shelf: Shelf[Thing], reader: Reader) -> None:
    reader.may_go_on.clear()
    asked = [shelf.load(key(1)) for _ in range(5)]
    assert shelf.held(key(1)) is None
    reader.may_go_on.set()

    found = [future.result(10) for future in asked]

    assert reader.read == [key(1)]
    assert all(thing is found[0] for thing in found)
    assert shelf.held(key(1)) is found[0]


def test_what_was_not_used_for_longest_makes_room(shelf: Shelf[Thing], reader: Reader) -> None:
    for number in (1, 2):
        shelf.load(key(number)).result(10)
    assert shelf.held(key(1)) is not None

    shelf.load(key(3)).result(10)

    assert [n for n in (1, 2, 3) if shelf.held(key(n)) is not None] == [1, 3]
    assert len(shelf) == 2


def test_one_that_is_larger_than_the_room_is_kept_alone(shelf: Shelf[Thing]) -> None:
    shelf.load(key(1)).result(10)
    shelf.replace(key(1), Thing(key(1), nbytes=1_000))
    assert len(shelf) == 1

    shelf.load(key(2)).result(10)

    assert shelf.held(key(1)) is None
    assert shelf.held(key(2)) is not None


def test_what_is_not_held_is_not_replaced(shelf: Shelf[Thing]) -> None:
    shelf.replace(key(1), Thing(key(1)))

    assert shelf.held(key(1)) is None


def test_a_broken_one_is_not_read_again_before_some_time_has_passed(
    shelf: Shelf[Thing], reader: Reader
) -> None:
    reader.is_broken = True
    with pytest.raises(ReleaseUnusable, match="the disk is wet"):
        shelf.load(key(1)).result(10)
    reader.is_broken = False
    reader.now_s = RETRY_BROKEN_AFTER_S - 0.1

    with pytest.raises(ReleaseUnusable, match="the disk is wet"):
        shelf.load(key(1)).result(10)
    assert len(reader.read) == 1

    reader.now_s = RETRY_BROKEN_AFTER_S
    assert shelf.load(key(1)).result(10).key == key(1)
