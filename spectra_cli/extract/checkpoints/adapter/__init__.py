"""PEFT adapters, merged into the weights of their base."""
