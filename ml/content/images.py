"""Products' pictures, fetched from the merchant and read by an optional image encoder."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic, time
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.content.album import Album
from ml.content.encoder import EncoderFailed
from ml.content.guarded_fetch import Fetched, FetchFailed, FetchRefused, GuardedFetcher, target_of
from ml.content.image_model import ImageModel, NotAPicture, read_picture
from ml.content.vector_cache import content_hash

THREADS = 8
AHEAD = 16
"""Pictures fetched and not yet read: with the largest body, 160 MB."""
LIMIT_S = 600.0
"""Of all pictures; those left over wait for the next training."""
MOST_FAILURES = 10
"""Of one host in a row, after which it is left alone."""
ABSENT = (404, 410)
"""One picture is lacking; the host is well."""
REPORTS = 20

Lacking = Literal["none", "refused", "not fetched", "unreadable", "out of time"]
WORDS: dict[Lacking, str] = {
    "none": "have none",
    "refused": "have one at an address that is refused",
    "not fetched": "could not be fetched",
    "unreadable": "have one that cannot be read",
    "out of time": "wait for the next training",
}


class Pictures(NamedTuple):
    vectors: NDArray[np.float32]
    """(products, dim), zeros where there is no picture."""
    shown: NDArray[np.bool_]
    """(products,): which have a picture."""
    said: str


def encode_images(
    path: Path,
    urls: list[str | None],
    cache: Path | None,
    report: Callable[[float, dict[str, float]], None],
    fetcher: GuardedFetcher | None = None,
    limit_s: float = LIMIT_S,
) -> Pictures:
    """One picture per product. Raises EncoderFailed, also where no product has a picture.

    path: the ONNX model. cache: folder of one tenant.
    """
    model = ImageModel(path)
    album = Album(cache, model.name)
    wanted = list(dict.fromkeys(url for url in urls if url))
    asked = [url for url in wanted if not album.is_fresh(url, time())]
    asker = Asker(fetcher or GuardedFetcher(), album, limit_s)
    lacking = _collect(model, album, asker, asked, report)
    album.write(wanted)
    return _pictures(urls, album, lacking)


class Asker:
    """Asks for pictures until time is up, and a host until it failed too often in a row.

    Threads share it; a count that one of them loses costs one request.
    """

    def __init__(self, fetcher: GuardedFetcher, album: Album, limit_s: float) -> None:
        self._fetcher, self._album = fetcher, album
        self._until = monotonic() + limit_s
        self._failures: Counter[str] = Counter()

    def ask(self, url: str) -> Fetched | Lacking:
        if monotonic() > self._until:
            return "out of time"
        try:
            return self._answer_of(target_of(url).host, url)
        except FetchRefused:
            return "refused"
        except FetchFailed:
            return "not fetched"

    def _answer_of(self, host: str, url: str) -> Fetched:
        """Raises FetchFailed."""
        if self._failures[host] >= MOST_FAILURES:
            raise FetchFailed("the host was left alone")
        known = self._album.validators(url)
        try:
            answer = self._fetcher.fetch(url, known)
        except FetchFailed as error:
            self._failures[host] += not isinstance(error, FetchRefused)
            raise
        is_well = answer.status in (200, 304, *ABSENT)
        self._failures[host] = 0 if is_well else self._failures[host] + 1
        if answer.status == 200 or (answer.status == 304 and any(known)):
            return answer
        raise FetchFailed(f"the host answered {answer.status}")


def _collect(
    model: ImageModel,
    album: Album,
    asker: Asker,
    urls: list[str],
    report: Callable[[float, dict[str, float]], None],
) -> dict[str, Lacking]:
    """Fill the album; what is still lacking, and why."""
    lacking: dict[str, Lacking] = {}
    batch: dict[bytes, NDArray[np.uint8]] = {}
    for place, (url, answer) in enumerate(_asked(asker, urls)):
        if place % max(len(urls) // REPORTS, 1) == 0:
            report(place / len(urls), {"pictures": place})
        if not isinstance(answer, Fetched):
            lacking[url] = answer
        elif answer.status == 304:
            album.unchanged(url, time())
        else:
            content = content_hash(answer.body)
            try:
                if content not in album.vectors and content not in batch:
                    batch[content] = read_picture(answer.body, model.size)
            except NotAPicture:
                lacking[url] = "unreadable"
                continue
            album.remember(url, content, answer.validators, time())
        if len(batch) == model.at_once:
            _encode(model, album, batch)
    _encode(model, album, batch)
    return lacking


def _encode(model: ImageModel, album: Album, batch: dict[bytes, NDArray[np.uint8]]) -> None:
    """Empties `batch` into the album."""
    if batch:
        vectors = model.encode(list(batch.values()))
        album.vectors.update(zip(batch, vectors, strict=True))
        batch.clear()


def _asked(asker: Asker, urls: list[str]) -> Iterator[tuple[str, Fetched | Lacking]]:
    """In order, a few of them asked for ahead of being read."""
    threads = ThreadPoolExecutor(THREADS, "pictures")
    ahead: deque[tuple[str, Future[Fetched | Lacking]]] = deque()
    try:
        for url in urls:
            ahead.append((url, threads.submit(asker.ask, url)))
            if len(ahead) == AHEAD:
                first, answer = ahead.popleft()
                yield first, answer.result()
        for url, answer in ahead:
            yield url, answer.result()
    finally:
        threads.shutdown(cancel_futures=True)


def _pictures(urls: list[str | None], album: Album, lacking: dict[str, Lacking]) -> Pictures:
    """A picture that could not be asked for again stays what it was."""
    found = [album.vector(url) if url else None for url in urls]
    why = Counter[Lacking](
        lacking.get(url, "not fetched") if url else "none"
        for url, vector in zip(urls, found, strict=True)
        if vector is None
    )
    reasons = ", ".join(f"{why[each]:,} {words}" for each, words in WORDS.items() if why[each])
    shown = np.array([vector is not None for vector in found], np.bool_)
    said = f"pictures of {shown.sum():,} of {len(urls):,} products"
    said += f" ({reasons})" if reasons else ""
    known = [vector for vector in found if vector is not None]
    if not known:
        raise EncoderFailed(said)
    vectors = np.zeros((len(urls), len(known[0])), np.float32)
    vectors[shown] = known
    return Pictures(vectors, shown, said)
