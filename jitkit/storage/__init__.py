"""File storage: atomic writes, and verification before use."""
