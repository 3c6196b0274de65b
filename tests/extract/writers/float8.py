"""8-bit floating-point weights and their scales, as the DeepSeek and compressed-tensors layouts have them."""

import torch

E4M3_MAX = 448.0


def quantised(model, layout, *, block=(128, 128)):
    """State dict with 8-bit projections and scales, and the state dict that it means, entry by entry."""
    stored, meant = {}, {}
    for name, tensor in model.state_dict().items():
        if "_proj" not in name:
            stored[name] = meant[name] = tensor
            continue
        rows, columns = tensor.shape
        step = {"block": block, "row": (1, columns), "tensor": (rows, columns)}[layout]
        quantised, whole = torch.empty(rows, columns, dtype=torch.float8_e4m3fn), torch.empty(rows, columns)
        scales = torch.empty(-(-rows // step[0]), -(-columns // step[1]))
        for i in range(scales.shape[0]):
            for j in range(scales.shape[1]):
                at = slice(i * step[0], (i + 1) * step[0]), slice(j * step[1], (j + 1) * step[1])
                scales[i, j] = tensor[at].abs().max() / E4M3_MAX
                quantised[at] = (tensor[at] / scales[i, j]).to(torch.float8_e4m3fn)
                whole[at] = quantised[at].float() * scales[i, j]
        stored[name], meant[name] = quantised, whole
        stored[name + ("_scale_inv" if layout == "block" else "_scale")] = (
            scales.reshape(()) if layout == "tensor" else scales
        )
    return stored, meant
