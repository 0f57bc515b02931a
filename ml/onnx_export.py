"""Plain torch modules as ONNX files, any number of rows."""

import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

OPSET = 18


def export_onnx(module: nn.Module, example: dict[str, Tensor], output: str, path: Path) -> None:
    """Write `module`, whose inputs are named like its parameters, with a free first dimension."""
    rows = torch.export.Dim("rows")
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own future
        program = torch.onnx.export(
            module.eval(),
            kwargs=example,
            input_names=list(example),
            output_names=[output],
            dynamic_shapes={name: {0: rows} for name in example},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    exporter.setLevel(level)
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    onnx.save(program.model_proto, path)
