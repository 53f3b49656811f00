"""The gain of an activation."""

from typing import Any

from keras_deeptools._arguments import checked_bool, checked_float
from keras_deeptools.statistics._activation_moments import Activation, gain_of


def gain(activation: Activation, *, centered: bool = False) -> float:
    """The factor for weights that keeps the variance of pre-activations.

    When pre-activations z are N(0, 1) and the weights of the next layer have variance
    `gain ** 2 / fan_in`, its pre-activations have second moment 1 again:
    `gain = 1 / sqrt(E[f(z) ** 2])`. For ReLU this is He's sqrt(2). The expectations are
    integrals, evaluated by quadrature for any element-wise function.

    Unlike the constants of `torch.nn.init.calculate_gain`, this gain follows one rule
    for every activation; there, tanh has 5/3 (here 1.5925) and SELU 3/4 (here 1).

    Args:
        activation: Str, a name that Keras knows; a function of a tensor or a layer that
            works element by element and without randomness; or None, linear.
        centered: Bool. Take the standard deviation of f(z) in place of its second
            moment: `1 / sqrt(Var[f(z)])`. This keeps the variance if something removes
            the mean, such as weight standardization or BatchNormalization.

    Returns:
        Float > 0.

    Raises:
        ValueError: If `activation` is unknown, constant zero (with `centered=True`,
            constant), not finite, or does not work element by element.

    Example:

    >>> from keras_deeptools.initializers import gain
    >>> round(gain("relu"), 4), round(gain("relu", centered=True), 4)
    (1.4142, 1.7129)
    >>> round(gain(lambda z: z**3), 4)
    0.2582

    Reference:
        He et al., 2015, section 2.2. https://arxiv.org/abs/1502.01852. Centered: Brock
        et al., 2021, section 4. https://arxiv.org/abs/2101.08692
    """
    checked_bool("gain", "centered", centered)
    return gain_of("gain", activation, centered)


def checked_gain(owner: str, value: Any) -> float:
    """Return `value` as a finite float > 0, or raise."""
    remedy = "Give what `gain(activation)` returns."
    return checked_float(owner, "gain", value, above=0, remedy=remedy)
