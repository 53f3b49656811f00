"""Passes with dropout on, and where dropout is in a model."""
