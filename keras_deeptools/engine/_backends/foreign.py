"""What TensorFlow and torch hold beside the active backend, if they are imported.

`tf.data` and torch's `DataLoader` feed every backend, so their datasets and what they
draw from count whichever backend runs. What has not been imported is not imported.
"""

import sys
from collections.abc import Callable
from typing import Any

OWN_SEEDS = {
    "ShuffleDatasetV3": ("ShuffleDataset", 4),
    "ShuffleAndRepeatDatasetV2": ("ShuffleAndRepeatDataset", 5),
}
"""Operations with a shared generator: those with one of their own, and their inputs."""

CACHES = ("CacheDataset", "CacheDatasetV2")
FILES = ("SnapshotDataset", "SnapshotDatasetV2", "SaveDataset", "SaveDatasetV2")
IGNORE_STATE = 1
ALL = "all_elements"


def apart(dataset: Any) -> Any:
    """A dataset of the same elements that shares no state with another one.

    An iterator over a shuffled dataset draws from a generator that all iterators over
    it share, so one more pass changes the order of the next epoch. A cache that is
    read in part is left in part. A dataset that is made from the graph of another one
    shares neither, if the graph is changed in these places.

    Args:
        dataset: `tf.data.Dataset`.

    Returns:
        Dataset, or None where that cannot be had.
    """
    tf: Any = sys.modules["tensorflow"]
    try:
        serialized = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(dataset),
            external_state_policy=IGNORE_STATE,
            strip_device_assignment=False,
        )
        graph = tf.compat.v1.GraphDef.FromString(serialized.numpy())
        if any(node.op in FILES for node in graph.node):
            return None
        for node in graph.node:
            if node.op in OWN_SEEDS:
                node.op, count = OWN_SEEDS[node.op]
                del node.input[count:]
            elif node.op in CACHES:
                node.op = "TakeDataset"
                del node.input[1:]
                node.input.append(ALL)
        every = tf.compat.v1.NodeDef(name=ALL, op="Const")
        every.attr["dtype"].type = tf.int64.as_datatype_enum
        every.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(-1, tf.int64))
        graph.node.append(every)
        variant = tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())
        return tf.data.experimental.from_variant(variant, dataset.element_spec)
    except Exception:
        # Whatever TensorFlow cannot write as a graph is not read at all.
        return None


def kept_random_states() -> Callable[[], None]:
    """A function that puts back the random states of now."""
    torch_states, seeds = _torch_states(), _operation_seeds()
    tensorflow_state = None if seeds is None else seeds.getstate()

    def restore() -> None:
        if torch_states is not None:
            torch = sys.modules["torch"]
            torch.set_rng_state(torch_states[0])
            for device, state in enumerate(torch_states[1]):
                torch.cuda.set_rng_state(state, device)
        if tensorflow_state is not None:
            _operation_seeds().setstate(tensorflow_state)

    return restore


def kept_seed() -> Callable[[], None]:
    """A function that puts back what TensorFlow was seeded with, or that it was not.

    Without a seed so far, nothing to draw the seeds of operations from exists.
    """
    context = _tensorflow_context()
    seed, generator = getattr(context, "_seed", None), getattr(context, "_rng", None)

    def restore() -> None:
        if context is not None:
            context._set_global_seed(seed)
            context._rng = generator

    return restore


def reseed(seed: int) -> None:
    """Seeds TensorFlow and torch, where they are imported.

    Args:
        seed: Int in [0, 2**32).
    """
    context = _tensorflow_context()
    if context is not None:
        context._set_global_seed(seed)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def _torch_states() -> tuple[Any, list[Any]] | None:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_rng_state"):
        return None
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return torch.get_rng_state(), devices


def _operation_seeds() -> Any:
    """What TensorFlow gives operations their seeds from, once a seed has been set."""
    return getattr(_tensorflow_context(), "_rng", None)


def _tensorflow_context() -> Any:
    module = sys.modules.get("tensorflow.python.eager.context")
    return module.context() if module else None
