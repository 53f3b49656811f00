"""One trial of a search: its files, its course, its end."""
