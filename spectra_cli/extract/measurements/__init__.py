"""What is measured inside the pass. One file a measurement, and a registry."""
