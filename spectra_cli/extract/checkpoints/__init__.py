"""How bytes become a state dict: a folder a format, and a registry."""
