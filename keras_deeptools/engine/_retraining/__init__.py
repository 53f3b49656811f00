"""Going on with an optimizer when other variables are to be trained."""
