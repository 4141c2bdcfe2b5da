"""Checkpoints: the file format, exported folders, and opening a model by path or name."""
