"""Which GPUs and how many threads each worker of one machine gets."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from keras_deeptools._arguments import message

VISIBLE = "CUDA_VISIBLE_DEVICES"
ASKING = 30.0


def gpus(environment: Mapping[str, str]) -> list[str]:
    """Names of the GPUs that may be used, without importing a backend.

    Args:
        environment: Where `CUDA_VISIBLE_DEVICES` says which; else `nvidia-smi` is
            asked.
    """
    if VISIBLE in environment:
        return [
            name.strip() for name in environment[VISIBLE].split(",") if name.strip()
        ]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=ASKING)
    return done.stdout.split() if done.returncode == 0 else []


def device_environments(
    owner: str, found: Sequence[str], workers: int, gpus_per_worker: int
) -> list[dict[str, str]]:
    """What the environment of each worker says about devices.

    Every worker has GPUs of its own, as far as there are enough; then workers share
    them in turn, and no backend may take a whole GPU's memory. Without GPUs the cores
    are divided.

    Args:
        owner: Who asks, for errors.
        found: Names of the GPUs.
        workers: Int >= 1.
        gpus_per_worker: Int >= 1.
    """
    if not found:
        threads = str(max(1, (os.cpu_count() or 1) // workers))
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
        return [{n: os.environ.get(n, threads) for n in names} for _ in range(workers)]
    if gpus_per_worker > len(found):
        rule = f"at most {len(found)}, as many GPUs as there are"
        raise ValueError(message(owner, "gpus_per_worker", rule, gpus_per_worker))
    groups = [
        ",".join(found[first : first + gpus_per_worker])
        for first in range(0, len(found) - gpus_per_worker + 1, gpus_per_worker)
    ]
    shared = {}
    if workers > len(groups):
        shared = {
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
    return [{VISIBLE: groups[i % len(groups)]} | shared for i in range(workers)]
