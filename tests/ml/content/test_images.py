"""The optional image encoder: pictures fetched and read once, and training that does without."""

import struct
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from ml.content import album, images
from ml.content.dense import describe_content
from ml.content.encoder import EncoderFailed
from ml.content.image_model import MEAN, ImageModel, NotAPicture, read_picture
from ml.content.images import Pictures, encode_images
from ml.content.text import DIM, fit_text
from ml.serving.product_text import ProductText
from ml.train import Encoders, describe_catalogue
from tests.ml.content.picture_host import Page, PictureHost, answer, picture
from tests.ml.content.test_sentences import fake_encoder
from tests.ml.toy_shop import toy_shop

SIDE = 8
FLAT = helper.make_node("Flatten", ["pixels"], ["vectors"])
MEANS = helper.make_node("GlobalAveragePool", ["pixels"], ["vectors"])
ROWS_LOST = helper.make_node("Reshape", ["pixels", "shape"], ["vectors"])
UNREADY = helper.make_node("Reshape", ["pixels", "seven"], ["vectors"])
RED = (np.array([1, 0, 0]) - MEAN) / np.array([0.229, 0.224, 0.225])
SHOP = "http://shop.test"


def model(
    path: Path,
    node: onnx.NodeProto = MEANS,
    rows: int | str = "n",
    side: int | str = SIDE,
    kind: int = TensorProto.FLOAT,
) -> Path:
    given = helper.make_tensor_value_info("pixels", kind, [rows, 3, side, side])
    made = helper.make_tensor_value_info("vectors", kind, None)
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 3 * SIDE * SIDE])
    seven = helper.make_tensor("seven", TensorProto.INT64, [2], [-1, 7])
    graph = helper.make_graph([node], "pictures", [given], [made], [shape, seven])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), str(path))
    return path


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return model(tmp_path / "encoder.onnx")


def take(
    encoder: Path, host: PictureHost, urls: list[str | None], cache: Path | None = None
) -> Pictures:
    return encode_images(encoder, urls, cache, lambda *_: None, host.fetcher())


def test_pictures_become_vectors_and_what_lacks_one_is_counted(
    encoder: Path, host: PictureHost
) -> None:
    host.pages |= {"/red.png": picture("red"), "/text": b"no picture"}
    host.addresses["inner.test"] = [["10.0.0.1"]]
    urls = [f"{SHOP}/red.png", None, f"{SHOP}/gone.png", f"{SHOP}/text", "http://inner.test/a.png"]
    found = take(encoder, host, [*urls, f"{SHOP}/red.png", ""])

    assert found.vectors[[0, 5]] == pytest.approx(np.array([RED, RED]), abs=1e-5)
    assert not found.vectors[[1, 2, 3, 4, 6]].any()
    assert found.shown.tolist() == [True, False, False, False, False, True, False]
    assert found.said == (
        "pictures of 2 of 7 products (2 have none, 1 have one at an address that is refused, "
        "1 could not be fetched, 1 have one that cannot be read)"
    )
    assert len(host.asked) == 3


@pytest.mark.parametrize("rows", ["n", 1, 3])
def test_models_of_any_batch_and_shape_are_read(
    rows: int | str, tmp_path: Path, host: PictureHost
) -> None:
    colours = [(shade, 0, 0) for shade in range(20)]
    host.pages |= {f"/{n}": picture(colour) for n, colour in enumerate(colours)}
    urls = [f"{SHOP}/{n}" for n in range(20)]
    flat = take(model(tmp_path / "flat.onnx", FLAT, rows), host, urls)
    means = take(model(tmp_path / "means.onnx", MEANS, rows), host, urls)

    assert flat.vectors.shape == (20, 3 * SIDE * SIDE)
    assert flat.vectors.reshape(20, 3, -1).mean(axis=2) == pytest.approx(means.vectors, abs=1e-5)
    assert (np.diff(means.vectors[:, 0]) > 0).all()


def test_a_model_without_a_size_gets_the_usual_one(tmp_path: Path) -> None:
    assert ImageModel(model(tmp_path / "any.onnx", side="side")).size == (224, 224)


def test_the_next_training_asks_only_for_what_is_new(
    encoder: Path, host: PictureHost, tmp_path: Path
) -> None:
    host.pages |= {"/red": picture("red"), "/blue": picture("blue")}
    first = take(encoder, host, [f"{SHOP}/red?secret", f"{SHOP}/red"], tmp_path / "cache")
    host.pages["/red?secret"] = picture("red")
    take(encoder, host, [f"{SHOP}/red?secret", f"{SHOP}/red"], tmp_path / "cache")
    second = take(encoder, host, [f"{SHOP}/blue", f"{SHOP}/red"], tmp_path / "cache")

    assert [asked.path for asked in host.asked[2:]] == ["/red?secret", "/blue"]
    assert (second.vectors[1] == first.vectors[1]).all()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").iterdir())
    assert b"secret" not in kept


def test_tenants_and_models_share_nothing(encoder: Path, host: PictureHost, tmp_path: Path) -> None:
    host.pages["/red"] = picture("red")
    for cache, path in (("one", encoder), ("other", encoder), ("one", model(tmp_path / "f", FLAT))):
        take(path, host, [f"{SHOP}/red"], tmp_path / cache)

    assert len(host.asked) == 3


def test_an_old_picture_is_asked_for_again_by_what_it_was(
    encoder: Path, host: PictureHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers["if-none-match"]:
            answer(handler, 304)
        else:
            answer(handler, 200, picture("red"), etag='"red"')

    host.pages["/red"] = page
    first = take(encoder, host, [f"{SHOP}/red"], tmp_path)
    monkeypatch.setattr(album, "FRESH_S", 0)
    second = take(encoder, host, [f"{SHOP}/red"], tmp_path)
    host.pages["/red"] = 500
    third = take(encoder, host, [f"{SHOP}/red"], tmp_path)
    host.pages["/red"] = picture("blue")
    fourth = take(encoder, host, [f"{SHOP}/red"], tmp_path)

    assert len(host.asked) == 4
    assert (first.vectors == second.vectors).all()
    assert (first.vectors == third.vectors).all()
    assert (first.vectors != fourth.vectors).any()


def test_a_host_may_say_unchanged_to_one_who_knows_nothing(
    encoder: Path, host: PictureHost
) -> None:
    host.pages |= {"/red": picture("red"), "/odd": 304}

    assert take(encoder, host, [f"{SHOP}/red", f"{SHOP}/odd"]).shown.tolist() == [True, False]


def test_a_cache_that_cannot_be_read_is_made_anew(
    encoder: Path, host: PictureHost, tmp_path: Path
) -> None:
    host.pages["/red"] = picture("red")
    first = take(encoder, host, [f"{SHOP}/red"], tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(b"half a file")

    assert (take(encoder, host, [f"{SHOP}/red"], tmp_path / "cache").vectors == first.vectors).all()


@pytest.mark.parametrize(("status", "is_left_alone"), [(500, True), (403, True), (404, False)])
def test_a_host_that_fails_in_a_row_is_left_alone(
    status: int, is_left_alone: bool, encoder: Path, host: PictureHost
) -> None:
    host.pages |= {"/red": picture("red")} | {f"/{n}": status for n in range(60)}
    found = take(encoder, host, [*(f"http://ill.test/{n}" for n in range(60)), f"{SHOP}/red"])

    asked = sum(asked.host == "ill.test" for asked in host.asked)
    assert asked < images.MOST_FAILURES + images.THREADS if is_left_alone else asked == 60
    assert found.said == "pictures of 1 of 61 products (60 could not be fetched)"


def test_what_there_was_no_time_for_waits(encoder: Path, host: PictureHost) -> None:
    with pytest.raises(EncoderFailed, match="1 have none, 1 wait for the next"):
        encode_images(
            encoder, [f"{SHOP}/a", None], None, lambda *_: None, host.fetcher(), limit_s=0
        )
    assert host.asked == []


def test_progress_is_told(encoder: Path, host: PictureHost) -> None:
    host.pages |= {f"/{n}": picture("red") for n in range(50)}
    told: list[float] = []
    urls: list[str | None] = [f"{SHOP}/{n}" for n in range(50)]
    encode_images(encoder, urls, None, lambda done, _: told.append(done), host.fetcher())

    assert told == sorted(told)
    assert 20 <= len(told) <= 26


def test_no_product_with_a_picture_is_no_failure_of_training(
    encoder: Path, host: PictureHost
) -> None:
    space = fit_text(TEXTS)
    found = describe_content(TEXTS, space, None, None, lambda: take(encoder, host, [None] * 4))

    assert found.said == "Words only: pictures of 0 of 4 products (4 have none)."
    assert (found.vectors == space.vectors).all()
    with pytest.raises(EncoderFailed, match="0 of 0"):
        take(encoder, host, [])


TEXTS = [ProductText(title) for title in ("red scarf", "blue scarf", "steel pan", "red scarf")]


def test_pictures_stand_beside_words_and_sentences(
    encoder: Path, host: PictureHost, tmp_path: Path
) -> None:
    host.pages |= {f"/{colour}": picture(colour) for colour in ("red", "blue", "grey")}
    urls = [f"{SHOP}/red", f"{SHOP}/blue", f"{SHOP}/grey", None]
    space = fit_text(TEXTS)
    found = describe_content(TEXTS, space, None, None, lambda: take(encoder, host, urls))
    both = describe_content(
        TEXTS, space, fake_encoder(tmp_path), None, lambda: take(encoder, host, urls)
    )
    broken = describe_content(
        TEXTS, space, tmp_path / "nowhere", None, lambda: take(encoder, host, urls)
    )

    assert found.said == "Words and pictures of 3 of 4 products (1 have none)."
    assert both.said == "Words, sentences and pictures of 3 of 4 products (1 have none)."
    assert broken.said.startswith("Words and pictures of 3 of 4 products (1 have none): the text")
    assert found.vectors.shape == (4, 2 * DIM)
    assert both.vectors.shape == (4, 3 * DIM)
    assert np.linalg.norm(found.vectors[:, DIM:], axis=1) == pytest.approx([1, 1, 1, 0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "cannot be read"),
        (lambda path: path.write_bytes(b"no model") and path, "cannot be read"),
        (lambda path: model(path, kind=TensorProto.FLOAT16), "does not take float32"),
        (lambda path: model(path, ROWS_LOST, side="side"), "for 1 pictures"),
        (lambda path: model(path, UNREADY), "failed"),
        (lambda path: model(path, FLAT, side="side"), "no usable vectors"),
    ],
)
def test_training_does_without_an_encoder_that_fails_and_says_so(
    make: Callable[[Path], Path], words: str, tmp_path: Path, host: PictureHost
) -> None:
    host.pages["/red"] = picture("red")
    path, space = make(tmp_path / "model.onnx"), fit_text(TEXTS)
    found = describe_content(TEXTS, space, None, None, lambda: take(path, host, [f"{SHOP}/red"]))

    assert found.said.startswith("Words only: the image encoder ")
    assert words in found.said
    assert (found.vectors == space.vectors).all()


def test_a_training_says_what_became_of_its_image_encoder(tmp_path: Path) -> None:
    encoders = Encoders(image=str(tmp_path / "nowhere.onnx"))
    catalogue = describe_catalogue(toy_shop(), "torch", encoders, lambda *_: None)

    assert "nowhere.onnx cannot be read" in catalogue.said


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_usual_kinds_of_pictures_are_read(kind: str) -> None:
    found = read_picture(picture("red", kind, (40, 30)), (SIDE, SIDE))

    assert found.shape == (SIDE, SIDE, 3)
    assert np.abs(found.astype(int) - (255, 0, 0)).max() < 12


def test_what_is_transparent_is_white() -> None:
    assert (read_picture(picture((0, 0, 0, 0)), (SIDE, SIDE)) == 255).all()


def png_of(width: int, height: int) -> bytes:
    """A file of a few bytes that says it is large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(9))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def image_as(kind: str) -> bytes:
    content = BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(content, kind)
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        picture("red")[:50],
        picture("red", "JPEG", (400, 400))[:300],
        png_of(5_001, 5_000),
        png_of(10_000, 10_000),
        png_of(60_000, 60_000),
        png_of(0, 0),
        image_as("EPS"),
        image_as("TIFF"),
    ],
    ids=["empty", "svg", "cut", "cut too", "large", "larger", "bomb", "nothing", "eps", "tiff"],
)
def test_what_is_no_fit_picture_is_not_decoded(content: bytes) -> None:
    with pytest.raises(NotAPicture):
        read_picture(content, (SIDE, SIDE))


def test_pages_may_be_anything(encoder: Path, host: PictureHost) -> None:
    rng = np.random.default_rng(3)
    whole = [picture("red", kind, (64, 64)) for kind in ("JPEG", "PNG", "WEBP", "GIF")]
    pages: dict[str, Page] = {"/red": picture("red")}
    for n in range(200):
        spoilt = bytearray(whole[n % len(whole)])
        for place in rng.integers(len(spoilt), size=8):
            spoilt[place] = int(rng.integers(256))
        pages[f"/{n}"] = bytes(spoilt)
    host.pages |= pages

    assert take(encoder, host, [SHOP + path for path in pages]).shown[0]
