"""Where a search over several processes joins KerasTuner."""

import functools
from typing import Any

from keras_deeptools._arguments import checked_count, checked_float
from keras_deeptools._distributed_search.settings import SearchSettings
from keras_deeptools._files import write_json as write_whole


def join_search(settings: SearchSettings) -> None:
    """Makes KerasTuner's chief and workers of this process outlive one another.

    Args:
        settings: How long to wait.

    Example:

    >>> from keras_deeptools._distributed_search.settings import SearchSettings
    >>> from keras_deeptools._distributed_search.keras_tuner_hooks import join_search
    >>> join_search(SearchSettings(worker_timeout=30.0))
    """
    from keras_tuner.src import utils
    from keras_tuner.src.distribute import oracle_chief, oracle_client
    from keras_tuner.src.engine.base_tuner import BaseTuner

    from keras_deeptools._distributed_search.server import serve
    from keras_deeptools._distributed_search.worker import WorkerClient

    oracle_chief.start_server = functools.partial(serve, settings=settings)
    oracle_client.OracleClient = functools.partial(WorkerClient, settings=settings)
    if not hasattr(BaseTuner.search, "__wrapped__"):
        BaseTuner.__init__ = _keeping_files(BaseTuner.__init__)
        BaseTuner.search = _saying_goodbye(BaseTuner.search)
        utils.save_json = _whole(utils.save_json)


def _keeping_files(initialize: Any) -> Any:
    """Only the chief deletes an earlier search: workers start in the middle of one."""

    @functools.wraps(initialize)
    def wrapped(self: Any, *args: Any, overwrite: bool = False, **kwargs: Any) -> None:
        overwrite = overwrite and not self._is_worker()
        initialize(self, *args, overwrite=overwrite, **kwargs)

    return wrapped


def _saying_goodbye(search: Any) -> Any:
    """A worker that breaks off tells the chief."""

    @functools.wraps(search)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return search(self, *args, **kwargs)
        except BaseException as error:
            if self._is_worker():
                self.oracle.leave(error)
            raise

    return wrapped


def _whole(save_json: Any) -> Any:
    """Files that are whole at any moment, as stores behind a URL keep them anyway."""

    @functools.wraps(save_json)
    def wrapped(path: Any, obj: Any) -> str:
        return save_json(path, obj) if "://" in str(path) else write_whole(path, obj)

    return wrapped


OWNER = "watch_workers"


def watch_workers(
    *, worker_timeout: float = 60.0, patience: float = 600.0, max_losses: int = 2
) -> None:
    """Makes KerasTuner's chief and workers of this process outlive lost workers.

    For processes that neither `launch` nor `python -m keras_deeptools tune` starts.
    Call it in the script before a tuner is made, in the chief and in all workers, whose
    environment says which they are (`KERASTUNER_TUNER_ID`, `KERASTUNER_ORACLE_IP`,
    `KERASTUNER_ORACLE_PORT`). A search in one process goes on as before.

    Each worker gives signs of life. A trial goes back, and is the next that is run,
    when its worker says that it breaks off, comes back as another process of the same
    name, or is silent for `worker_timeout`. KerasTuner alone waits for it for ever.

    Args:
        worker_timeout: Float > 0, seconds of silence after which a worker is lost.
        patience: Float > 0, seconds that the chief waits without any worker, and a
            worker without the chief, before they end with an error.
        max_losses: Int >= 1. A trial that lost so many workers is marked as failed: it
            may be what ends them.

    Raises:
        ImportError: If KerasTuner is not installed.
        TypeError: If an argument is of another type.
        ValueError: If a number is out of its range.

    Example:

    >>> from keras_deeptools.tuning import watch_workers
    >>> watch_workers(worker_timeout=120.0)
    """
    settings = SearchSettings(
        checked_float(OWNER, "worker_timeout", worker_timeout, above=0),
        checked_float(OWNER, "patience", patience, above=0),
        checked_count(OWNER, "max_losses", max_losses),
    )
    try:
        join_search(settings)
    except ModuleNotFoundError as error:
        if error.name not in ("keras_tuner", "tensorboard"):
            raise
        raise ImportError(
            f"keras_deeptools.tuning.{OWNER} needs KerasTuner. Received: {error}. "
            "Install it with `pip install 'keras-deeptools[tuner]'`."
        ) from error
