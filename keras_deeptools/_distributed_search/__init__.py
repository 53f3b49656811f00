"""Starts and watches the processes of a search; imports neither Keras nor a backend."""

from keras_deeptools._distributed_search.launch import launch
from keras_deeptools._distributed_search.plan import join
from keras_deeptools._distributed_search.result import SearchRun

__all__ = ["SearchRun", "join", "launch"]
