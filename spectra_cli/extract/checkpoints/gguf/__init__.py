"""GGUF files, checked before the gguf package sees them."""
