"""Reading a `tf.data.Dataset`, which feeds every backend, and leaving it as it is.

An iterator over a shuffled dataset draws from a generator that all iterators over it
share, so one more pass changes the order of the next epoch. A cache that is read in
part is left in part. A dataset made anew from the graph of another one shares neither,
if the graph is changed in these places.
"""

import sys
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
