"""A model in memory, seen as the checkpoint that would be saved of it; the training is left untouched."""
