"""The data that jitkit writes and reads: JSON documents, table rows and provenance. Needs no torch."""
