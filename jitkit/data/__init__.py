"""Text on its way to batches: split, tokenised once, cut into windows."""
