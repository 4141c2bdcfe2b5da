"""What a run costs: FLOPs, memory and checkpoint size, computed without training."""
