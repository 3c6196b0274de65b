"""What stored tensors say and lack: wrappers' names, half precision, zeros, NaN, shards."""
