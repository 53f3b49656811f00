"""`GradientMonitor`: the callback, its record in the compiled step, and its history."""
