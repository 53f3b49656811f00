"""Code that the backends share."""

import contextlib
import gc
import importlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_deeptools.engine._keras_private import optimizers
from keras_deeptools.engine._keras_private.layers import value_of

BACKENDS = ("tensorflow", "jax", "torch")
"""The backends that this package runs on."""

LIBRARIES = ("keras", *BACKENDS, "numpy")
"""Packages whose functions are not the user's own."""

FOREIGN = (*LIBRARIES, "jaxlib", "optree")
"""Packages whose objects hold no state of a model that is not stored elsewhere."""

SUBMODULES = "_modules"
"""Attribute in which torch keeps the layers of a layer, apart from the others."""

TRACKING = "_self_"
"""Prefixes of the names under which TensorFlow tracks attributes of a layer."""


def move_averages(averages: list[Any], values: list[Any], rate: Any) -> None:
    """Moves each average towards a value, by `rate` times the distance.

    Args:
        averages: Float32 `keras.Variable`s.
        values: Tensors of their shapes, of any floating type.
        rate: Scalar in [0, 1].
    """
    for average, value in zip(averages, values, strict=True):
        now = ops.convert_to_tensor(average)
        average.assign(now + rate * (ops.cast(value, "float32") - now))


def on_host(tensor: Any) -> np.ndarray:
    """A numpy array with a tensor's values, its own copy.

    `keras.ops.convert_to_numpy` fails on TensorFlow for a bfloat16 scalar, such as the
    learning rate if bfloat16 is the global dtype.

    Args:
        tensor: Tensor or variable with a value.

    Example:

    >>> import keras
    >>> from keras_deeptools.engine._backends.common import on_host
    >>> float(on_host(keras.ops.convert_to_tensor(1.5, "bfloat16")))
    1.5
    """
    if isinstance(tensor, keras.Variable):
        tensor = tensor.value
        if keras.backend.backend() == "tensorflow":
            # Variables of a `tf.distribute` strategy are not arrays.
            tensor = keras.ops.copy(tensor)
    if hasattr(tensor, "shape") and tuple(tensor.shape) == ():
        if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
            single = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
            return np.array(single)
    return np.array(keras.ops.convert_to_numpy(tensor))


# Where `fit` creates all variables before it traces or takes a step: JAX and torch.
BUILDS_IN_STEP = False
"""Whether the first step of `fit` creates the variables that do not exist yet."""


def between_steps() -> Any:
    """A context that runs on the host at once."""
    return contextlib.nullcontext()


def tracing() -> bool:
    """Whether a step is being traced now: none is before the optimizer is built."""
    return False


def functions_in_trace() -> list[Any]:
    """None: nothing is traced."""
    return []


def forget_traced(function: Any) -> None:
    """Nothing to do: nothing is traced."""


def reason_to_trace_again() -> Any:
    """Nothing: no step is traced before the optimizer is built."""


def have_values(variables: list[Any]) -> bool:
    """Whether variables have values."""
    return all(value_of(variable) is not None for variable in variables)


LOOPS_HOLD_STATE = False
"""Whether loops pass the optimizer's state on explicitly, and assign it in the end."""

LOSES_VALUES = False
"""Whether the values of the variables are lost with a step that fails."""


def are_lost(variables: list[Any]) -> bool:
    """Whether the memory of a variable has been reused: no step is given it."""
    return False


SILENT_ON_WRONG_LABELS = False
"""Whether training on labels that are not classes raises no error."""


def forget(model: Any) -> None:
    """Makes the model trace its train step again, if it has one."""
    if model.train_function is not None:
        model.make_train_function(force=True)


def after(gradients: list[Any]) -> Any:
    """Nothing to wait for: a step runs only when it has its data."""
    return contextlib.nullcontext()


def on_each_replica(optimizer: Any, update: Any) -> Any:
    """The update itself: the gradients that it is given are global."""
    return update


def check_deferred_build(optimizer: Any) -> None:
    """Accepts optimizers that the first update builds."""


def unmerged_methods(optimizer: Any) -> dict[str, Any]:
    """No method merges replicas."""
    return {}


def track(optimizer: Any, variable: Any) -> None:
    """Nothing to do: the step reads and writes variables wherever they are."""


def untrack(optimizer: Any, variable: Any) -> None:
    """Nothing to undo."""


def synchronize(model: Any) -> None:
    """Nothing to do: variables are always up to date, where the step is not pure."""


def can_decay(optimizer: Any, variables: list[Any]) -> bool:
    """Whether weight decay accepts these variables."""
    return True


def uncompiled(update: Callable, model: Any) -> Callable:
    """The update as it is: it is traced with the step, or not at all."""
    return update


def count_skipped(optimizer: Any, counter: Any) -> dict[str, Any]:
    """Methods for a LossScaleOptimizer that count its skipped updates."""
    handle = getattr(optimizer, optimizers.STATEFUL_SKIP)

    def handle_and_count() -> None:
        handle()
        counter.assign_add(1)

    return {optimizers.STATEFUL_SKIP: handle_and_count}


def single_steps(model: Any) -> None:
    """Readies a model for steps that are run one at a time."""


def trace_step(model: Any, batch: Any) -> None:
    """Nothing: where `fit` builds models before their first step, no trace need."""


def row_losses() -> Any:
    """A context in which losses of pixels have gradients: they do."""
    return contextlib.nullcontext()


def is_traced(values: list[Any]) -> bool:
    """Whether any of the values is being traced: none where steps are not pure."""
    return False


def is_mutable(value: Any) -> bool:
    """Whether a value is a tensor that can be written to: none is."""
    return False


def keeps_contents_apart(container: Any) -> bool:
    """Whether a list holds its items a second time: plain ones do not."""
    return False


def modules_in(model: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Modules, parameters and buffers of a model that are not Keras': none."""
    return [], [], []


# Where programs are compiled: JAX and TensorFlow.
PADS_ROWS = True
"""Whether batches are padded to few shapes, because every shape is compiled."""
NORMAL_BY_PREFIX = True
"""Whether `normal` for a smaller number of samples gives the first of a larger one."""


def is_exporting() -> bool:
    """Whether a trace is under way in which Keras cannot draw: never here."""
    return False


def unseeded(kind: str, shape: tuple[int, ...]) -> Any:
    """Random float32 while exporting, which never happens here."""
    raise NotImplementedError("Only where `is_exporting`.")


def dense(gradient: Any) -> Any:
    """A gradient as a dense tensor: it always is one."""
    return gradient


class Together:
    """Several tensors that arithmetic takes for one; torch's `TensorList`."""

    moved: Any
    sqrt: Any
    at_least: Any
    limited: Any
    abs: Any
    total: Any


TAKES_LISTS = False
"""Whether an optimizer updates all variables together, as a list."""


def tensor_list(values: list[Any], like: list[Any]) -> Any:
    """Tensors as one, where `TAKES_LISTS`; never here."""
    raise NotImplementedError("Only where `TAKES_LISTS`.")


def number(value: Any) -> Any:
    """A scalar as a Python number where that is free, else as a tensor."""
    held = isinstance(value, keras.Variable)
    return ops.convert_to_tensor(value) if held else value


def reset_peak_device_memory() -> None:
    """Resets the measurement of peak memory, if the backend can: JAX cannot.

    Example:

    >>> from keras_deeptools.engine._backends.common import reset_peak_device_memory
    >>> reset_peak_device_memory()
    """
    backend = keras.backend.backend()
    if backend == "torch":
        cuda = importlib.import_module("torch").cuda
        for index in range(cuda.device_count()):
            cuda.reset_peak_memory_stats(index)
    elif backend == "tensorflow":
        config = importlib.import_module("tensorflow").config
        for name in _gpus(config):
            config.experimental.reset_memory_stats(name)


def peak_device_memory() -> int | None:
    """Most bytes in use on the fullest accelerator since the last reset.

    On JAX, since the process began.

    Returns:
        Int, or None on the CPU and where the backend does not tell.

    Example:

    >>> from keras_deeptools.engine._backends.common import peak_device_memory
    >>> peak = peak_device_memory()
    >>> peak is None or peak > 0
    True
    """
    backend = keras.backend.backend()
    if backend == "torch":
        cuda = importlib.import_module("torch").cuda
        peaks = [cuda.max_memory_allocated(i) for i in range(cuda.device_count())]
    elif backend == "tensorflow":
        config = importlib.import_module("tensorflow").config
        usage = map(config.experimental.get_memory_info, _gpus(config))
        peaks = [each["peak"] for each in usage]
    else:
        devices = importlib.import_module("jax").local_devices()
        told = [device.memory_stats() or {} for device in devices]
        peaks = [each.get("peak_bytes_in_use", 0) for each in told]
    return max(peaks, default=0) or None


_OUT_OF_MEMORY = (
    "out of memory",
    "resource_exhausted",
    "resourceexhausted",
    "outofmemory",
    "oom when allocating",
    "can't allocate memory",
    "alloc_failed",
)
"""What errors of the backends say, in lower case, where memory does not suffice."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or the one that it was raised from, says that memory is full.

    The backends have no class of error in common for it.

    Example:

    >>> from keras_deeptools.engine._backends.common import is_out_of_memory
    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    True
    """
    seen: BaseException | None = error
    while seen is not None:
        text = f"{type(seen).__name__}: {seen}".lower()
        if isinstance(seen, MemoryError) or any(w in text for w in _OUT_OF_MEMORY):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def release_memory() -> None:
    """Gives back what nothing refers to; torch keeps it on the device otherwise."""
    gc.collect()
    if keras.backend.backend() == "torch":
        importlib.import_module("torch").cuda.empty_cache()


def _gpus(config: Any) -> list[str]:
    return [device.name for device in config.list_logical_devices("GPU")]


def make_updates(
    optimizer: Any,
    variables: list[Any],
    batches: list[tuple[float, ...]],
    seen: dict[str, Any],
) -> None:
    """Makes one update after another, and turns what the last noted into numbers.

    Args:
        optimizer: Keras optimizer, built for `variables`.
        variables: List of scalar `keras.Variable`.
        batches: List of gradients of each update: tuples of floats, one for each
            variable.
        seen: Dict to which methods of the optimizer add lists of tensors; they become
            lists of floats.
    """
    for gradients in batches:
        optimizer.apply(
            [ops.convert_to_tensor(np.float32(g)) for g in gradients], variables
        )
    for name, tensors in seen.items():
        seen[name] = [float(on_host(tensor)) for tensor in tensors]
