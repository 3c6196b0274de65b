"""Hugging Face folders: `config.json` and weights, 8-bit floating point included."""
