"""How much memory of an accelerator was in use at most, on every backend."""

import importlib
from typing import Any

import keras


def reset_peak_device_memory() -> None:
    """Begins to measure anew, where the backend can: JAX cannot.

    Example:

    >>> from keras_deeptools.engine._backends.memory import reset_peak_device_memory
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

    >>> from keras_deeptools.engine._backends.memory import peak_device_memory
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


def _gpus(config: Any) -> list[str]:
    return [device.name for device in config.list_logical_devices("GPU")]
