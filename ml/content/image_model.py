"""Pictures to vectors by an ONNX model that the operator provides."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ml.content.encoder import EncoderFailed
from ml.content.vector_cache import content_hash

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")
MOST_PIXELS = 25_000_000
FLOAT32 = "tensor(float)"
USUAL_SIZE = 224
AT_ONCE = 16
WIDEST = 4096
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
"""Of the red, green and blue of ImageNet."""
DECODERS_RAISE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    EOFError,
    struct.error,
    zlib.error,
)
"""Whatever a broken file may cause in Pillow; not all of Exception, which holds time limits."""


class NotAPicture(Exception):
    """Bytes that are no picture, or one too large to be decoded."""


class ImageModel:
    """Float32 (n, 3, height, width) in; (n, ...) out, of which four axes are averaged to two."""

    def __init__(self, path: Path) -> None:
        """Raises EncoderFailed."""
        with _failures_told(f"the image encoder {path} cannot be read"):
            self._session = onnxruntime.InferenceSession(
                str(path), sess_options=_one_thread(), providers=["CPUExecutionProvider"]
            )
            self.name = _hash_of(path)
        self._input, (self._rows, height, width) = _input_of(self._session, path)
        self.at_once = self._rows or AT_ONCE
        self.size = (width or USUAL_SIZE, height or USUAL_SIZE)

    def encode(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(pictures, dim). pictures: at most `at_once`, each (height, width, 3).

        Raises EncoderFailed.
        """
        pixels = (np.stack(pictures).astype(np.float32) / 255 - MEAN) / DEVIATION
        lacking = max(self._rows - len(pictures), 0)
        batch = np.pad(pixels, ((0, lacking), (0, 0), (0, 0), (0, 0))).transpose(0, 3, 1, 2)
        found = self._run(np.ascontiguousarray(batch))
        if found.shape[:1] != (len(batch),):
            raise EncoderFailed(f"the image encoder gives {found.shape} for {len(batch)} pictures")
        averaged = found.mean(axis=(2, 3)) if found.ndim == 4 else found
        vectors = averaged.reshape(len(batch), -1)[: len(pictures)]
        if not 0 < vectors.shape[1] <= WIDEST or not np.isfinite(vectors).all():
            raise EncoderFailed(f"the image encoder gives no usable vectors: {found.shape}")
        return vectors

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with _failures_told("the image encoder failed"):
            return np.asarray(self._session.run(None, {self._input: batch})[0], np.float32)


@contextmanager
def _failures_told(what: str) -> Iterator[None]:
    """onnxruntime's errors share no class, and Exception would hold the time limits of a task."""
    try:
        yield
    except Exception as error:
        ours = isinstance(error, OSError | ValueError | TypeError | RuntimeError)
        if ours or type(error).__module__.startswith("onnxruntime"):
            raise EncoderFailed(f"{what}: {error}") from error
        raise


def read_picture(content: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(height, width, 3) in RGB, cut to the middle, on white. size: width, height.

    Raises NotAPicture.
    """
    from PIL import Image, ImageOps

    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of what is odd in a file
            Image.open(BytesIO(content), formats=FORMATS) as opened,
        ):
            if opened.width * opened.height > MOST_PIXELS:
                raise NotAPicture("too many pixels")
            opened.draft("RGB", (2 * size[0], 2 * size[1]))
            ImageOps.exif_transpose(opened, in_place=True)
            colours = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
            fitted = ImageOps.fit(colours, size, Image.Resampling.BICUBIC)
    except (*DECODERS_RAISE, Image.DecompressionBombError) as error:
        raise NotAPicture("it cannot be decoded") from error
    if fitted.mode == "RGBA":
        fitted = Image.alpha_composite(Image.new("RGBA", size, "white"), fitted)
    return np.asarray(fitted.convert("RGB"))


def _input_of(
    session: onnxruntime.InferenceSession, path: Path
) -> tuple[str, tuple[int, int, int]]:
    """Its name; rows, height and width, 0 where any will do. Raises EncoderFailed."""
    inputs = session.get_inputs()
    if len(inputs) == 1 and inputs[0].type == FLOAT32 and len(inputs[0].shape) == 4:
        rows, colours, *size = (n if isinstance(n, int) else 0 for n in inputs[0].shape)
        if colours in (0, 3):
            return inputs[0].name, (rows, size[0], size[1])
    raise EncoderFailed(f"the image encoder {path} does not take float32 (n, 3, H, W)")


def _hash_of(path: Path) -> str:
    """With the weights that large models keep in a file beside them."""
    files = (path, path.with_name(f"{path.name}.data"))
    return content_hash(b"".join(file.read_bytes() for file in files if file.exists())).hex()


def _one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options
