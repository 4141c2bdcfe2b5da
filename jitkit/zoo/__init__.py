"""The model zoo: manifests by id, their JSON Schema, and opening a recipe."""
