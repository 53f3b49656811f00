"""`SpikeGuard`: the judgement in the compiled step, and the copies on the host."""
