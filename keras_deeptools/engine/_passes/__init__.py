"""Running a model once and seeing what its layers compute."""
