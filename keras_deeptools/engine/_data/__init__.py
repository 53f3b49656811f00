"""Batches of the data that `fit` and `predict` take, and checks of them."""
