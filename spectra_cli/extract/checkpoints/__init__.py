"""How bytes become a state dict. One file a format, and a registry."""
