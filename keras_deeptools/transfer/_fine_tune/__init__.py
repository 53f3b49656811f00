"""`fine_tune`: head first, then the network, with the data and files of a run."""
