"""A search for the batch size, and its result."""
