"""Networks as ONNX files whose first axis may have any length."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

OPSET = 17


def export_onnx(network: nn.Module, example: dict[str, Tensor], output: str, path: Path) -> None:
    """Write `network`; names and types of the inputs are those of `example`, in its order.

    Exported by tracing: thirty times faster than torch's newer way, with the same graph.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*legacy TorchScript-based ONNX", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        torch.onnx.export(
            network.eval(),
            tuple(example.values()),
            str(path),
            input_names=list(example),
            output_names=[output],
            dynamic_axes={name: {0: "rows"} for name in (*example, output)},
            opset_version=OPSET,
            dynamo=False,
        )
