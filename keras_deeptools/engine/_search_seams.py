"""Where a search over several processes joins KerasTuner."""

import functools
from typing import Any

from keras_deeptools.engine._search_files import write_whole
from keras_deeptools.engine._search_settings import SearchSettings


def join_search(settings: SearchSettings) -> None:
    """Makes KerasTuner's chief and workers of this process outlive one another.

    Args:
        settings: How long to wait.

    Example:

    >>> from keras_deeptools.engine import SearchSettings, join_search
    >>> join_search(SearchSettings(worker_timeout=30.0))
    """
    from keras_tuner.src import utils
    from keras_tuner.src.distribute import oracle_chief, oracle_client
    from keras_tuner.src.engine.base_tuner import BaseTuner

    from keras_deeptools.engine._search_server import serve
    from keras_deeptools.engine._search_worker import WorkerClient

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
