"""How a state dict becomes a module with sites: a folder a kind, and a registry."""
