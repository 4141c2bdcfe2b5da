"""Training: from a manifest to checkpoints."""
