"""One file a capability: wiring only; values in, values out, progress by callback."""
