"""`DeepHyperModel` and the parts that it searches."""
