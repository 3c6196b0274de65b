"""Where the tokens come from. One file a source, and a registry."""
