"""`SpikeGuard`: the judgement in the step, and the copies on the host."""
