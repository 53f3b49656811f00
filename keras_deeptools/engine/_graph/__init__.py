"""Layers, calls and tensors of a model, as its graph has them."""
