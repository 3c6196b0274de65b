"""From checkpoints to spectra: the only user of torch, transformers and safetensors."""
