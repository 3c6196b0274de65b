"""From results to output: tables, JSON, CSV."""
