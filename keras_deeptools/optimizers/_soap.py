"""Adam in the eigenbasis of Shampoo's preconditioner."""

from typing import Any, ClassVar

import keras
from keras import ops

from keras_deeptools._arguments import (
    checked_count,
    checked_rate,
    known_elsewhere_as,
)
from keras_deeptools.engine import tensors
from keras_deeptools.engine._keras_private.optimizers import position_of
from keras_deeptools.engine._update.elementwise_ops import larger, moved, weight_seen
from keras_deeptools.optimizers._adam_variant import AdamVariant, described

OWNER = "SOAP"
Matrices = list[Any]
"""One matrix for each dimension of a weight; None for one that is left as it is."""


@described
@keras.saving.register_keras_serializable(package="keras_deeptools")
class SOAP(AdamVariant):
    """Adam in rotated coordinates, in which the gradient is nearly uncorrelated.

    For each dimension of a kernel, SOAP averages the products of the gradient with
    itself (the factors of Shampoo) and runs Adam in the coordinates of their
    eigenvectors. It needs fewer updates than Adam, most of all with large batches and
    kernels that are trained for long; biases and other vectors are trained by Adam.

    An update multiplies each kernel by four matrices per dimension, and every
    `refresh_every` updates a QR decomposition follows their eigenvectors. For a kernel
    of shape `(m, n)` the state takes twice the memory of the kernel, as with Adam, and
    `2 m**2 + 2 n**2` numbers more: on small models an update takes several times as
    long as with Adam, on a GPU with large batches little longer.

    Args:
        {{learning_rate}}
        beta_1: Float in [0, 1). Decay of the mean of the gradients.
        beta_2: Float in [0, 1). Decay of the mean of their squares.
        beta_3: Float in [0, 1), or None for `beta_2`. Decay of the factors.
        refresh_every: Int > 0. Number of updates after which the eigenvectors follow
            the factors.
        max_dimension: Int > 0. Larger dimensions, such as that of a vocabulary, have
            no factor.
        epsilon: Float > 0. Added to the divisor.
    {{decay_and_options}}

    Example:

    >>> import keras
    >>> from keras_deeptools.optimizers import SOAP
    >>> weight = keras.Variable([[1.0, 0.0], [0.0, 1.0]])
    >>> optimizer = SOAP(learning_rate=0.1)
    >>> optimizer.build([weight])
    >>> gradient = keras.ops.convert_to_tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> for _ in range(2):  # the first update only measures
    ...     optimizer.apply([gradient])
    >>> [[round(float(w), 4) for w in row] for row in weight.numpy()]
    [[0.9, 0.0], [0.0, 0.9]]

    Reference:
        Vyas et al., 2024, algorithm 3, with the first update left out as in the
        authors' code. https://arxiv.org/abs/2409.11321
    """

    SLOTS: ClassVar = ("momentum", "velocity")
    NUMBERS: ClassVar = (
        "beta_1",
        "beta_2",
        "beta_3",
        "refresh_every",
        "max_dimension",
        "epsilon",
    )

    @known_elsewhere_as(
        beta_3="shampoo_beta",
        refresh_every="precondition_frequency",
        max_dimension="max_precond_dim",
    )
    def __init__(
        self,
        learning_rate: Any = 0.003,
        beta_1: float = 0.95,
        beta_2: float = 0.95,
        beta_3: float | None = None,
        refresh_every: int = 10,
        max_dimension: int = 10000,
        epsilon: float = 1e-8,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **options)
        self.beta_3 = None if beta_3 is None else checked_rate(OWNER, "beta_3", beta_3)
        self.refresh_every = checked_count(OWNER, "refresh_every", refresh_every)
        self.max_dimension = checked_count(OWNER, "max_dimension", max_dimension)

    def build(self, variables: list[Any]) -> None:
        """Creates the slots of `variables`, and two matrices for their dimensions."""
        if self.built:
            return
        super().build(variables)
        for place in range(max(len(v.shape) for v in variables)):
            for kind in ("factor", "basis"):
                matrices = [self._matrix(v, place, kind) for v in variables]
                setattr(self, f"_slots_of_{kind}_{place}", matrices)

    def _matrix(self, variable: Any, place: int, kind: str) -> Any:
        shape = tuple(variable.shape)
        if not 2 <= len(shape) or place >= len(shape):
            return None
        if shape[place] > self.max_dimension:
            return None
        name = f"{variable.path}_{kind}_{place}".replace("/", "_")
        return self.add_variable((shape[place],) * 2, "zeros", "float32", name=name)

    def takes_all(self) -> bool:
        """False, because each weight has matrices of its own shape."""
        return False

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one `variable` by its `gradient` with the `learning_rate`."""
        unit = self.unit(gradient, variable)
        position = position_of(self, variable)
        places = range(len(variable.shape))
        held = [
            [getattr(self, f"_slots_of_{kind}_{place}")[position] for place in places]
            for kind in ("factor", "basis")
        ]
        factors, bases = (
            [None if m is None else ops.convert_to_tensor(m) for m in matrices]
            for matrices in held
        )
        gradient = ops.cast(unit.gradient, "float32")
        momentum, velocity = (ops.cast(slot, "float32") for slot in unit.slots)
        beta_1, beta_2 = map(self.hyperparameter, self.NUMBERS[:2])
        beta_3 = beta_2 if self.beta_3 is None else self.hyperparameter("beta_3")
        made = self.step_number() - 1.0
        moves = _number(made > 0)
        momentum = moved(momentum, gradient, moves * (1 - beta_1))
        squares = ops.square(rotated(gradient, bases))
        velocity = moved(velocity, squares, moves * (1 - beta_2))
        step = rotated(momentum, bases) / (ops.sqrt(velocity) + self.epsilon)
        counted = larger(made, 1.0)
        correction = weight_seen(beta_2, counted) ** 0.5 / weight_seen(beta_1, counted)
        change = rotated(step, bases, back=True) * (correction * moves)
        if any(factor is not None for factor in factors):
            factors = [
                None if f is None else moved(f, outer(gradient, place), 1 - beta_3)
                for place, f in enumerate(factors)
            ]
            bases, velocity = self._followed(made, factors, bases, velocity)
        for matrices, values in zip(held, (factors, bases), strict=True):
            for matrix, value in zip(matrices, values, strict=True):
                if matrix is not None:
                    self.assign(matrix, value)
        slots = [unit.scalar(slot) for slot in (momentum, velocity)]
        rate = ops.cast(tensors.number(learning_rate), "float32")
        unit.write(slots, unit.read() - unit.scalar(change * rate))

    def _followed(
        self, made: Any, factors: Matrices, bases: Matrices, velocity: Any
    ) -> tuple[Matrices, Any]:
        """The bases, and the velocity in them, that the next update is made in."""
        known = [place for place, basis in enumerate(bases) if basis is not None]
        there = [bases[place] for place in known]

        def first() -> list[Any]:
            return [*(eigenvectors(factors[place]) for place in known), velocity]

        def refreshed() -> list[Any]:
            turned, squares = [], velocity
            for place in known:
                basis, order = power_iteration(factors[place], bases[place])
                squares = ops.take(squares, order, axis=place)
                turned.append(basis)
            return [*turned, squares]

        def otherwise() -> list[Any]:
            due = ops.equal(made % self.refresh_every, 0)
            return tensors.choose(due, refreshed, lambda: [*there, velocity])

        found = list(tensors.choose(made == 0, first, otherwise))
        bases = list(bases)
        for place, basis in zip(known, found, strict=False):
            bases[place] = basis
        return bases, found[-1]


def rotated(tensor: Any, bases: Matrices, back: bool = False) -> Any:
    """A tensor in the coordinates of bases, or, with `back`, in the original ones."""
    if all(basis is None for basis in bases):
        return tensor
    for basis in bases:
        if basis is None:
            order = [*range(1, len(tensor.shape)), 0]
            tensor = ops.transpose(tensor, order)
        else:
            tensor = ops.tensordot(tensor, basis, axes=[[0], [int(back)]])
    return tensor


def outer(gradient: Any, place: int) -> Any:
    """The products of a gradient with itself along one of its dimensions, a matrix."""
    others = [axis for axis in range(len(gradient.shape)) if axis != place]
    return ops.tensordot(gradient, gradient, axes=[others, others])


def eigenvectors(factor: Any) -> Any:
    """The eigenvectors of a symmetric matrix, by decreasing eigenvalue."""
    return ops.flip(ops.eigh(factor)[1], axis=1)


def power_iteration(factor: Any, basis: Any) -> tuple[Any, Any]:
    """Vectors closer to the eigenvectors of a matrix, and their order among the old."""
    product = ops.matmul(factor, basis)
    order = ops.argsort(-ops.sum(basis * product, axis=0))
    return ops.qr(ops.take(product, order, axis=1))[0], order


def _number(condition: Any) -> Any:
    """1.0 where a condition on a scalar holds, else 0.0."""
    if isinstance(condition, bool):
        return float(condition)
    return ops.cast(condition, "float32")
