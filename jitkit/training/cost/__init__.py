"""The cost of a run, estimated without training."""
