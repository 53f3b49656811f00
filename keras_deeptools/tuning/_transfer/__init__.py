"""`TransferHyperModel`: searches over pretrained networks."""
