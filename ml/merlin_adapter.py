"""merlin-models behind one module: its blocks, with its known bugs wrapped."""

import warnings

import torch
from torch import nn


def mlp_block(width: int, units: list[int]) -> nn.Module:
    """Merlin's MLPBlock (ReLU after each layer) for inputs of `width`, sizes settled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # merlin announces the frameworks that are absent
        from merlin.models.torch.blocks.mlp import MLPBlock

        block = MLPBlock(units)
        block(torch.zeros((2, width)))
    return block


def plain_mlp(block: nn.Module) -> nn.Sequential:
    """The same layers without Merlin, sharing the weights: what ONNX export understands."""
    layers: list[nn.Module] = []
    for module in block.modules():
        if isinstance(module, nn.Linear):
            plain = nn.Linear(module.in_features, module.out_features)
            plain.weight, plain.bias = module.weight, module.bias
            layers += [plain, nn.ReLU()]
    return nn.Sequential(*layers)
