"""nanoGPT-style `.pt` files, in all layouts of the paper's variants."""
