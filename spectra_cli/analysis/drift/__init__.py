"""How far checkpoints of one run have moved from one another."""
