"""Byte-pair vocabularies: file format, training and statistics."""
