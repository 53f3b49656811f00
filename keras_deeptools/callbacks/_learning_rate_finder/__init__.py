"""The learning-rate range test, as a function and as a callback."""
