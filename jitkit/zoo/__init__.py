"""The model zoo: manifests by id, and their JSON Schema."""
