"""Files of weights and what lies beside them, read safely: pickles, safetensors, zip archives, JSON."""
