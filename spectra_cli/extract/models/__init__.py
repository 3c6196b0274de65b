"""How a state dict becomes a module with sites. One file a family, and a registry."""
