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

# XLA compiles in half the time without its newer code generator for fused operations
# and in one part instead of many. With `XLA_FLAGS=` it compiles as for users; `.ci/run`
# runs the tests that compare bits in this way too.
if util.find_spec("jaxlib") and Version(metadata.version("jaxlib")) < Version("0.12"):
    # Later ones have no older generator, and XLA ends at a flag that it does not know.
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
    )
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_parallel_codegen_split_count=1")

import keras
import pytest

from newer_keras import seed_as_newer_keras, skip_if_newer

if keras.backend.backend() == "jax":
    import jax

    # JAX compiles each model anew, also one that differs from others in name alone. The
    # tests keep what was compiled, each process for itself, as no lock guards a file.
    compiled = tempfile.TemporaryDirectory()
    jax.config.update("jax_compilation_cache_dir", compiled.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

    # Half the time of many tests went by with programs that draw the initial weights,
    # one for every shape, each of them run once: these are compiled without optimizing.
    initialize = keras.Variable._initialize_with_initializer

    def initialize_unoptimized(self: keras.Variable, initializer: object) -> None:
        jax.config.update("jax_disable_most_optimizations", True)
        try:
            initialize(self, initializer)
        finally:
            jax.config.update("jax_disable_most_optimizations", False)

    keras.Variable._initialize_with_initializer = initialize_unoptimized


seed_as_newer_keras()

ONCE = ("backend_free", "one_backend")
"""Marks of tests for which one backend is enough."""


def pytest_report_header() -> str:
    return f"keras {keras.version()} on {keras.backend.backend()}"


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Tests that need one backend alone run on torch, which starts fastest."""
    if keras.backend.backend() == "torch":
        return
    left = [item for item in items if any(map(item.get_closest_marker, ONCE))]
    items[:] = [item for item in items if not any(map(item.get_closest_marker, ONCE))]
    config.hook.pytest_deselected(items=left)


def pytest_collection_finish() -> None:
    """KerasTuner collects garbage in each trial: of what tests make, not of modules."""
    gc.collect()
    gc.freeze()


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
