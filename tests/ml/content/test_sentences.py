"""The optional sentence encoder: vectors paid for once, and training that does without it."""

import stat
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from ml.content.dense import describe_content
from ml.content.encoder import EncoderFailed
from ml.content.sentences import encode_sentences
from ml.content.text import DIM, fit_text
from ml.serving.product_text import ProductText

CHECKOUT = Path(__file__).resolve().parents[3]
REAL = CHECKOUT / ".venv-content" / "bin" / "python"
TEXTS = [ProductText(title) for title in ("red scarf", "blue scarf", "steel pan", "red scarf")]
ENCODES = """
    import pyarrow as pa, pyarrow.parquet as pq
    texts = pq.read_table(given)["text"].to_pylist()
    with open(log, "a") as file:
        file.writelines(text + "\\n" for text in texts)
    rows = [[float(len(text)), float(ord(text[0])), 1.0] for text in texts]
    pq.write_table(pa.table({"vector": rows}), made)
"""


def fake_encoder(folder: Path, body: str = ENCODES) -> Path:
    """An executable in place of the interpreter; it notes what it was asked for in `asked`."""
    program = folder / "encoder"
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "if sys.argv[2:] == ['--version']:\n"
        "    print('fake-1'); sys.exit()\n"
        f"given, made, log = sys.argv[2], sys.argv[3], {str(folder / 'asked')!r}\n"
        + textwrap.dedent(body)
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().split("\n")[:-1]


def test_only_new_and_changed_texts_are_encoded_again(tmp_path: Path) -> None:
    encoder, cache = fake_encoder(tmp_path), tmp_path / "cache"
    first = encode_sentences(encoder, TEXTS, cache)
    changed = [TEXTS[0], ProductText("green scarf"), *TEXTS[2:], ProductText("tea")]
    second = encode_sentences(encoder, changed, cache)

    assert asked(tmp_path) == ["red scarf", "blue scarf", "steel pan", "green scarf", "tea"]
    assert (second[[0, 2, 3]] == first[[0, 2, 3]]).all()
    assert second[1].tolist() == [len("green scarf"), ord("g"), 1]


def test_a_cache_that_cannot_be_read_is_made_anew(tmp_path: Path) -> None:
    encoder, cache = fake_encoder(tmp_path), tmp_path / "cache"
    first = encode_sentences(encoder, TEXTS, cache)
    (cache / "fake-1.npz").write_bytes(b"half a file")

    assert (encode_sentences(encoder, TEXTS, cache) == first).all()
    assert [path.name for path in cache.iterdir()] == ["fake-1.npz"]


def test_tenants_share_no_vectors(tmp_path: Path) -> None:
    encoder = fake_encoder(tmp_path)
    encode_sentences(encoder, TEXTS[:1], tmp_path / "one")
    encode_sentences(encoder, TEXTS[:1], tmp_path / "other")

    assert asked(tmp_path) == ["red scarf", "red scarf"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.exit('no space left')", "no space left"),
        ("pass", "no readable vectors"),
        ("open(made, 'w').write('text')", "no readable vectors"),
        ("import time; time.sleep(60)", "longer than 1 s"),
    ],
)
def test_a_failing_encoder_is_explained(body: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderFailed, match=words):
        encode_sentences(fake_encoder(tmp_path, body), TEXTS, None, limit_s=1)


def test_training_does_without_an_encoder_that_fails_and_says_so(tmp_path: Path) -> None:
    space = fit_text(TEXTS)
    absent = describe_content(TEXTS, space, tmp_path / "nowhere", None)
    failing = describe_content(TEXTS, space, fake_encoder(tmp_path, "sys.exit('broken')"), None)

    assert "cannot be started" in absent.said
    assert "broken" in failing.said
    assert (failing.vectors == space.vectors).all()


def test_sentences_stand_beside_words(tmp_path: Path) -> None:
    found = describe_content(TEXTS, fit_text(TEXTS), fake_encoder(tmp_path), None)

    assert found.vectors.shape == (len(TEXTS), 2 * DIM)
    assert np.isfinite(found.vectors).all()
    assert found.said == "Words and sentences."


@pytest.mark.skipif(not REAL.exists(), reason="no sentence encoder here: make content-encoder")
def test_the_real_encoder_knows_what_means_the_same() -> None:
    titles = ("running shoes", "trainers for jogging", "leather sofa")
    shoes, trainers, sofa = encode_sentences(REAL, [ProductText(t) for t in titles], None)

    assert shoes @ trainers > 0.5 > shoes @ sofa
