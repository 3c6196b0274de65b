"""torch.distributed.checkpoint folders: FSDP, torchtitan, Trainer, accelerate."""
