"""Which decoder of the NanoGPT world a checkpoint holds: from tensors, statements and a few values."""
