"""Every test starts from the same seed, in an empty folder, without a screen."""

import gc
import os
import tempfile
from collections.abc import Generator
from importlib import metadata, util
from pathlib import Path

from packaging.version import Version

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes that run side by side and each take all cores only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# TensorFlow has oneDNN on or off by the kind of CPU, and without it no convolutions
# with channels first.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# XLA compiles in a third of the time without optimizing, without its newer code
# generator for fused operations and in one part instead of many. With `XLA_FLAGS=` it
# compiles as for users; `.ci/run` runs the tests that compare bits in this way too.
if "XLA_FLAGS" not in os.environ:
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    flags = ["--xla_cpu_parallel_codegen_split_count=1"]
    jaxlib = metadata.version("jaxlib") if util.find_spec("jaxlib") else "0"
    if Version("0") < Version(jaxlib) < Version("0.12"):
        # Later ones have no older generator, and XLA ends at a flag it does not know.
        flags.append("--xla_cpu_use_fusion_emitters=false")
    os.environ["XLA_FLAGS"] = " ".join(flags)

import keras
import pytest

from backend_turns import runs_on
from newer_keras import seed_as_newer_keras, skip_if_newer

if keras.backend.backend() == "jax":
    import jax

    # JAX compiles each model anew, also one that differs from others in name alone. The
    # tests keep what was compiled, each process for itself, as no lock guards a file.
    compiled = tempfile.TemporaryDirectory()
    jax.config.update("jax_compilation_cache_dir", compiled.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

seed_as_newer_keras()


def pytest_report_header() -> str:
    return f"keras {keras.version()} on {keras.backend.backend()}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--everything",
        action="store_true",
        help="run on this backend also what another one is enough for",
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """What another backend is enough for is left to it."""
    if config.getoption("everything"):
        return
    backend = keras.backend.backend()
    left = [item for item in items if not runs_on(backend, item)]
    items[:] = [item for item in items if runs_on(backend, item)]
    config.hook.pytest_deselected(items=left)


def pytest_collection_finish() -> None:
    """KerasTuner collects garbage in each trial: of what tests make, not of modules.

    Traces of train steps make so many objects that Python would look for cycles among
    them a hundred times a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """A test of what a newer Keras brings is skipped on older ones."""
    try:
        return (yield)
    except AttributeError as error:
        skip_if_newer(error)
        raise


@pytest.fixture(autouse=True)
def computes_nothing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that is marked `backend_free` makes no variable and runs no operation.

    Such tests run on torch alone, so what they try may not depend on the backend.
    """
    if request.node.get_closest_marker("backend_free") is None:
        return

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a test that is marked `backend_free` uses the backend")

    monkeypatch.setattr(keras.Variable, "__init__", refuse)
    monkeypatch.setattr(keras.Operation, "__call__", refuse)
    monkeypatch.setattr(keras.Model, "__init__", refuse)


@pytest.fixture(autouse=True)
def same_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test writes, draws or sets reaches no other test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
