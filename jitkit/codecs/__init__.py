"""A codec is a codebook plus a layout."""
