"""Models on the Hugging Face Hub: their names, the files that travel, the cache, download, and upload. Imports no torch."""
