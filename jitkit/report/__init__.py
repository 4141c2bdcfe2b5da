"""What was measured, as documents with a schema, and as pages that need nothing beside them."""
