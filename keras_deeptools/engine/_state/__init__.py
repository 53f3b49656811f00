"""Saving and restoring what training changes."""
