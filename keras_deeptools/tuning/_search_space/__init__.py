"""The search space of every component."""
