"""Reports: the pages of runs and comparisons, self-contained HTML with SVG charts."""
