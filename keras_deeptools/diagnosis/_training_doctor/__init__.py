"""`TrainingDoctor` and `ActivationMonitor`, which watch a model while it trains."""
