"""Setting hyperparameters of the optimizer, or variables of the model, by step."""
