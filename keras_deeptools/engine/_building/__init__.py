"""Building a model and its optimizer as the first step of training would."""
