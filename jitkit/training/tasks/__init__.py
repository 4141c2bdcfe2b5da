"""Training tasks: what the gradient of a step comes from."""
