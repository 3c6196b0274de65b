"""A user's own model, named by `--model`."""
