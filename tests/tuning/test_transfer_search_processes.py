"""Two processes of one search: one computes the features, the other finds them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_deeptools

pytestmark = pytest.mark.one_backend

WORKER = """
import sys
from pathlib import Path

import keras
import keras_tuner
import numpy as np

from keras_deeptools.tuning import TransferHyperModel
from keras_deeptools.tuning import _pooled_features as room

folder, name = Path(sys.argv[1]), sys.argv[2]
real = room.cache_features


def watched(*args, **kwargs):
    before = {path.name for path in folder.iterdir()}
    cached = real(*args, **kwargs)
    print("found" if cached.path.name in before else "computed")
    return cached


room.cache_features = watched
x = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype("float32")
hypermodel = TransferHyperModel(
    2,
    max_epochs=1,
    input_shape=(32, 32, 3),
    backbones="MobileNet",
    weights=None,
    depths=(0,),
    features=folder,
)
tuner = keras_tuner.RandomSearch(
    hypermodel, "loss", 2, directory=folder.parent, project_name=name
)
tuner.search(x, np.arange(64) % 2, epochs=1, verbose=0)
"""


@pytest.mark.slow
def test_of_two_processes_one_computes_and_the_other_finds(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    root = str(Path(keras_deeptools.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), name],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    try:
        said = [worker.communicate(timeout=300)[0].split() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert sorted(word for words in said for word in words) == ["computed", "found"]
