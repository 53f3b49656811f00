"""`WeightAveraging`, and batch statistics for averaged weights."""
