"""From texts to windows of tokens: read, split, tokenise once, draw."""
