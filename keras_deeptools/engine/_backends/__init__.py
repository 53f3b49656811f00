"""What differs between backends; only the folders in it name one.

The folders have the same modules, which have the same functions. Where one takes
arguments that need a word, JAX's says it for all three.
"""
