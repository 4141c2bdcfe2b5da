"""Files that are whole or not there, and are believed only after a check."""
