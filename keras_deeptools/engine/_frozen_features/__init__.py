"""Cutting a model where its frozen part ends, and computing that part once."""
