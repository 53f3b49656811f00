"""`repair`: remedies as changes of a copy, and the proof that they help."""
