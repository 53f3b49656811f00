"""Learning rates by layer group."""
