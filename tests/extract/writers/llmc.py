"""Files as llm.c's train_gpt2.py writes them."""

import numpy as np
import torch


def write(model, path, *, version=3, dtype=torch.float32, padding=3):
    """As llm.c's train_gpt2.py does: all layers of one kind together, matrices as fan_out x fan_in."""
    config = model.config
    state = {name.removeprefix("transformer."): t for name, t in model.state_dict().items()}

    def layers(name):
        stacked = torch.stack([state[f"h.{layer}.{name}"] for layer in range(config.n_layer)])
        return stacked.mT if stacked.ndim == 3 else stacked

    names = ["ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight"]
    names += ["attn.c_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias"]
    names += ["mlp.c_proj.weight", "mlp.c_proj.bias"]
    rows_of_padding = torch.full((padding, config.n_embd), 7.0)
    tensors = [state["wte.weight"], rows_of_padding, state["wpe.weight"], *map(layers, names)]
    tensors += [state["ln_f.weight"], state["ln_f.bias"]]
    sizes = [config.n_positions, config.vocab_size, config.n_layer, config.n_head, config.n_embd]
    header = np.zeros(256, "<i4")
    header[:8] = [20240326, version, *sizes, config.vocab_size + padding]
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).to(dtype)
    path.write_bytes(header.tobytes() + flat.view(torch.uint8).numpy().tobytes())
