"""What looks into a pass: hooks, losses in pieces, the check of both, oneDNN's linear maps."""
