"""Layer groups of a model, and how deep its features serve."""
