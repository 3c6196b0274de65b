"""What makes checkpoints a run: steps in names, folders, training logs, the user's run.toml."""
