"""A host of pictures for each test."""

from collections.abc import Iterator

import pytest

from tests.ml.content.picture_host import PictureHost


@pytest.fixture
def host() -> Iterator[PictureHost]:
    running = PictureHost()
    yield running
    running.close()
