"""Manifests: declarative recipes in TOML."""
