"""From results to output: one value a result, and the forms it is written in."""
