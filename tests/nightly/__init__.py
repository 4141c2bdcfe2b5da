"""What runs at night: a fuzzer over every file format, and processes that are killed again and again."""
