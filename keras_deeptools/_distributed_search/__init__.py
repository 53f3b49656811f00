"""Starts and watches the processes of a search; imports neither Keras nor a backend."""

from keras_deeptools._distributed_search.launch_search import launch_search
from keras_deeptools._distributed_search.plan import run_as_member
from keras_deeptools._distributed_search.search_run import SearchRun

__all__ = ["SearchRun", "launch_search", "run_as_member"]
