"""Features that take part in an optimizer's compiled update."""
