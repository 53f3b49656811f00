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
from installed_backends import (
    MISSING,
    left_out,
    needs_what_is_missing,
    skip_if_missing,
)
from newer_keras import (
    seed_as_newer_keras,
    skip_if_keras_fails,
    skip_if_newer,
)

if keras.backend.backend() == "jax":
    import jax

    # JAX compiles each model anew, also one that differs from others in name alone. The
    # tests keep what was compiled, each process for itself, as no lock guards a file.
    # In JAX 0.5 programs that were kept end in a segmentation fault.
    if Version(jax.__version__) >= Version("0.7"):
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
    parser.addoption(
        "--first-values",
        action="store_true",
        help="run each parametrized test with its first values alone",
    )


def with_first_values(items: list[pytest.Item]) -> list[pytest.Item]:
    """Of the items of each parametrized test the first one."""
    first: dict[tuple[Path, str], pytest.Item] = {}
    for item in items:
        first.setdefault((item.path, item.nodeid.partition("[")[0]), item)
    return list(first.values())


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Files that import a backend that is not installed are left out."""
    return True if needs_what_is_missing(collection_path) else None


def pytest_report_collectionfinish() -> list[str]:
    if not left_out:
        return []
    names = ", ".join(sorted(left_out))
    return [f"left out, for want of {' and '.join(MISSING)}: {names}"]


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """What another backend is enough for is left to it, unless everything is asked."""
    backend = keras.backend.backend()
    everything = config.getoption("everything")
    kept = [item for item in items if everything or runs_on(backend, item)]
    if config.getoption("first_values"):
        kept = with_first_values(kept)
    held = set(kept)
    left = [item for item in items if item not in held]
    items[:] = kept
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
    """A test of what a newer Keras or a missing backend brings is skipped."""
    try:
        return (yield)
    except ModuleNotFoundError as error:
        skip_if_missing(error)
        raise
    except AttributeError as error:
        skip_if_newer(error)
        skip_if_keras_fails(error)
        raise
    except ValueError as error:
        skip_if_keras_fails(error)
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
