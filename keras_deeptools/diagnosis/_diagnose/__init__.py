"""What `diagnose` measures, the rules over it, and the report."""
