"""Families of networks to search in."""
