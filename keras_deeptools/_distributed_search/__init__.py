"""Starts and watches the processes of a search; imports neither Keras nor a backend."""

from keras_deeptools._distributed_search.launch_search import SearchRun, launch_search
from keras_deeptools._distributed_search.process import run_as_member

__all__ = ["SearchRun", "launch_search", "run_as_member"]
