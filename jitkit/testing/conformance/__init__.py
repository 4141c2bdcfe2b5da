"""The laws, one module a kind."""
