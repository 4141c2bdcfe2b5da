"""Vocabularies of byte pieces: their file format, their training, and what they cost."""
