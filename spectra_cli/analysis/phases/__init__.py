"""Phases of training: warm-up, entropy-seeking, compression-seeking."""
