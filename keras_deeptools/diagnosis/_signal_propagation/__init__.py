"""`signal_propagation`: what is measured of layers, and what is found in it."""
