"""From texts to token windows: read, split, tokenize once, draw batches."""
