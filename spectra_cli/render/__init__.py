"""From core values to output: rich tables, JSON, CSV."""
