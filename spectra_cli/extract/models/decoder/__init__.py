"""One configurable decoder for nanoGPT and the Spectral Lens paper's variants."""
