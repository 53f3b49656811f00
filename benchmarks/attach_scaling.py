"""What attaching costs as models grow: seconds and memory, to 2,000 variables.

    KERAS_BACKEND=jax python benchmarks/attach_scaling.py

Each size runs in two fresh processes, one that trains two batches plainly and one with
`GradientMonitor` (all statistics), `OneCycleScheduler` and `MaxNormEnforcer` attached.
`attach` is the call alone; `first batch` has tracing and compilation in it, `second`
has not; memory is the largest resident size of the process. Prints a Markdown table.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

SIZES = {  # branches that are added up, layers of each, width
    "20 variables": (1, 10, 8),
    "200 variables": (10, 10, 8),
    "1,000 variables": (50, 10, 8),
    "2,000 variables": (100, 10, 8),
    "1 million parameters": (1, 4, 500),
    "10 million parameters": (1, 4, 1580),
    "100 million parameters": (1, 4, 5000),
}


def measure(
    num_branches: int, num_layers: int, width: int, attached: bool
) -> dict[str, float]:
    """Seconds and bytes of one process; called in a process of its own."""
    import contextlib

    import keras
    import numpy as np

    from keras_deeptools import attach
    from keras_deeptools.callbacks import (
        GradientMonitor,
        MaxNormEnforcer,
        OneCycleScheduler,
    )

    inputs = keras.Input((width,))
    branches = []
    for _ in range(num_branches):
        hidden = inputs
        for _ in range(num_layers):
            hidden = keras.layers.Dense(width)(hidden)
        branches.append(hidden)
    outputs = keras.layers.Add()(branches) if num_branches > 1 else branches[0]
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    x = np.ones((8, width), "float32")
    features = (
        GradientMonitor(on_problem="ignore"),
        OneCycleScheduler(1e-3, total_steps=100),
        MaxNormEnforcer(2.0),
    )
    found = {}
    with contextlib.ExitStack() as stack:
        start = time.perf_counter()
        if attached:
            stack.enter_context(attach(model, *features))
        found["attach"] = time.perf_counter() - start
        for name in ("first", "second"):
            start = time.perf_counter()
            model.train_on_batch(x, x)
            found[name] = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found | {"mib": peak / 1024, "variables": len(model.trainable_variables)}


def in_a_fresh_process(*job: int) -> dict[str, float]:
    """What `measure` returns."""
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", help=argparse.SUPPRESS)
    job = parser.parse_args().job
    if job:
        print(json.dumps(measure(*json.loads(job))))
        return
    print("| model | `attach` | first batch | second batch | memory |")
    print("|---|---|---|---|---|")
    for name, size in SIZES.items():
        plain, ours = (
            in_a_fresh_process(*size, attached) for attached in (False, True)
        )
        first, second = (
            f"{plain[key]:.2f} -> {ours[key]:.2f} s" for key in ("first", "second")
        )
        memory = f"{plain['mib']:.0f} -> {ours['mib']:.0f} MiB"
        row = f"| {name} | {ours['attach']:.2f} s | {first} | {second} | {memory} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
