"""Where a search over several processes joins KerasTuner."""

import functools
from typing import Any

from keras_deeptools._distributed_search.settings import SearchSettings
from keras_deeptools._files import write_json as write_whole


def install_hooks(settings: SearchSettings) -> None:
    """Makes KerasTuner's chief and workers of this process outlive one another.

    Args:
        settings: How long to wait.

    Example:

    >>> from keras_deeptools._distributed_search.settings import SearchSettings
    >>> from keras_deeptools._distributed_search.keras_tuner_hooks import install_hooks
    >>> install_hooks(SearchSettings(worker_timeout=30.0))
    """
    from keras_deeptools._distributed_search import keras_tuner_private as keras_tuner
    from keras_deeptools._distributed_search.server import serve
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
    """A worker that breaks off tells the chief."""
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
