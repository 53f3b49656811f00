"""Joining a search over several processes: where KerasTuner is replaced for it."""

import functools
from typing import Any

from keras_deeptools._arguments import checked_count, checked_float
from keras_deeptools._distributed_search.settings import SearchSettings
from keras_deeptools._files import write_json as write_whole

OWNER = "join_search"


def join_search(
    *, worker_timeout: float = 60.0, patience: float = 600.0, max_losses: int = 2
) -> None:
    """Makes KerasTuner's chief and workers of this process outlive lost workers.

    Use it for processes that are started neither by `launch_search` nor by
    `python -m keras_deeptools tune`. Call it in the script before a tuner is made, in
    the chief and in all workers. Environment variables define the role of each process
    (`KERASTUNER_TUNER_ID`, `KERASTUNER_ORACLE_IP`, `KERASTUNER_ORACLE_PORT`). A search
    in one process is not changed.

    Each worker sends regular signals that it is alive. If a worker reports that it is
    ending early, comes back as another process of the same name, or is silent for
    `worker_timeout`, its trial is given back and is the next one to run. KerasTuner
    alone waits for such a worker forever.

    Args:
        worker_timeout: Float > 0, seconds of silence after which a worker is lost.
        patience: Float > 0, seconds that the chief waits without any worker, and a
            worker without the chief, before they end with an error.
        max_losses: Int >= 1. A trial that lost so many workers is marked as failed,
            because it may be the reason why they end.

    Raises:
        ImportError: If KerasTuner is not installed.
        TypeError: If an argument is of another type.
        ValueError: If a number is out of its range.

    Example:

    >>> from keras_deeptools.tuning import join_search
    >>> join_search(worker_timeout=120.0)
    """
    settings = SearchSettings(
        checked_float(OWNER, "worker_timeout", worker_timeout, above=0),
        checked_float(OWNER, "patience", patience, above=0),
        checked_count(OWNER, "max_losses", max_losses),
    )
    try:
        install_hooks(settings)
    except ModuleNotFoundError as error:
        if error.name not in ("keras_tuner", "tensorboard"):
            raise
        raise ImportError(
            f"keras_deeptools.tuning.{OWNER} needs KerasTuner. Received: {error}. "
            "Install it with `pip install 'keras-deeptools[tuner]'`."
        ) from error


def install_hooks(settings: SearchSettings) -> None:
    """Makes KerasTuner's chief and workers of this process outlive one another.

    Args:
        settings: How long to wait.

    Example:

    >>> from keras_deeptools._distributed_search.settings import SearchSettings
    >>> from keras_deeptools._distributed_search.join_search import install_hooks
    >>> install_hooks(SearchSettings(worker_timeout=30.0))
    """
    from keras_deeptools._distributed_search import keras_tuner_private as keras_tuner
    from keras_deeptools._distributed_search.chief import serve
    from keras_deeptools._distributed_search.worker import WorkerClient

    keras_tuner.serve_with(functools.partial(serve, settings=settings))
    keras_tuner.make_clients_with(functools.partial(WorkerClient, settings=settings))
    keras_tuner.wrap_tuners(_keeping_files, _saying_goodbye)
    keras_tuner.wrap_saving(_whole)


def _keeping_files(initialize: Any) -> Any:
    """Only the chief deletes an earlier search: workers start in the middle of one."""
    from keras_deeptools._distributed_search.keras_tuner_private import is_worker

    @functools.wraps(initialize)
    def wrapped(self: Any, *args: Any, overwrite: bool = False, **kwargs: Any) -> None:
        overwrite = overwrite and not is_worker(self)
        initialize(self, *args, overwrite=overwrite, **kwargs)

    return wrapped


def _saying_goodbye(search: Any) -> Any:
    """A worker that ends early tells the chief."""
    from keras_deeptools._distributed_search.keras_tuner_private import is_worker

    @functools.wraps(search)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return search(self, *args, **kwargs)
        except BaseException as error:
            if is_worker(self):
                self.oracle.leave(error)
            raise

    return wrapped


def _whole(save_json: Any) -> Any:
    """Files that are whole at any moment, as stores behind a URL keep them anyway."""

    @functools.wraps(save_json)
    def wrapped(path: Any, obj: Any) -> str:
        return save_json(path, obj) if "://" in str(path) else write_whole(path, obj)

    return wrapped
