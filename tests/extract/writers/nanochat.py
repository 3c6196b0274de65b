"""nanochat in float64, written from its equations, one sequence at a time."""

import torch

VOCAB, PADDED, WIDTH, HEADS, GROUPS, LAYERS = 61, 64, 32, 4, 2, 3
KV = GROUPS * WIDTH // HEADS
ARGUMENTS = {
    "sequence_len": 16,
    "vocab_size": VOCAB,
    "n_layer": LAYERS,
    "n_head": HEADS,
    "n_kv_head": GROUPS,
    "n_embd": WIDTH,
}
# generation -> window pattern, short window, rotary base, scale of q and k, gate
GENERATIONS = {
    "original": (None, 16, 1e4, 1.0, 0.0),
    "lambdas": ("SL", 8, 1e4, 1.0, 0.0),
    "gates-32": ("SSL", 8, 1e4, 1.0, 2.0),
    "gates-12": ("SSSL", 128, 1e5, 1.15, 3.0),
    "smear": ("SSSL", 128, 1e5, 1.2, 3.0),
}


def tensors(generation: str) -> dict[str, torch.Tensor]:
    shapes = {"transformer.wte.weight": (PADDED, WIDTH), "lm_head.weight": (PADDED, WIDTH)}
    for n in range(LAYERS):
        block = f"transformer.h.{n}"
        shapes |= {f"{block}.attn.c_{c}.weight": (WIDTH if c == "q" else KV, WIDTH) for c in "qkv"}
        shapes |= {f"{block}.attn.c_proj.weight": (WIDTH, WIDTH)}
        shapes |= {f"{block}.mlp.c_fc.weight": (4 * WIDTH, WIDTH)}
        shapes |= {f"{block}.mlp.c_proj.weight": (WIDTH, 4 * WIDTH)}
        if generation not in ("original", "lambdas") and n % 2 == (LAYERS - 1) % 2:
            channels = 32 if generation == "gates-32" else 12
            shapes |= {f"value_embeds.{n}.weight": (PADDED, KV)}
            shapes |= {f"{block}.attn.ve_gate.weight": (GROUPS, channels)}
    if generation != "original":
        shapes |= {"resid_lambdas": (LAYERS,), "x0_lambdas": (LAYERS,)}
    if generation == "smear":
        shapes |= {"smear_gate.weight": (1, 24), "smear_lambda": (1,), "backout_lambda": (1,)}
    generator = torch.Generator().manual_seed(0)
    return {name: 0.4 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def normed(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 2.0**-23)


def reference(state, generation, ids, streams=None):
    """Logits (T, V) of one sequence; `streams` collects the residual stream after each block."""
    pattern, short, base, scale, gate = GENERATIONS[generation]
    w = {name: tensor.double() for name, tensor in state.items()}
    head = WIDTH // HEADS
    x = normed(w["transformer.wte.weight"][ids])
    if generation == "smear":
        shift = torch.zeros_like(x)
        for t in range(1, len(ids)):
            weight = w["smear_lambda"] * torch.sigmoid(w["smear_gate.weight"][0] @ x[t, :24])
            shift[t] = weight * x[t - 1]
        x = x + shift
    first = x
    for n in range(LAYERS):
        block = f"transformer.h.{n}"
        if "resid_lambdas" in w:
            x = w["resid_lambdas"][n] * x + w["x0_lambdas"][n] * first
        u = normed(x)
        window = len(ids) if n == LAYERS - 1 or not pattern or pattern[n % len(pattern)] == "L" else short
        q, k, v = (u @ w[f"{block}.attn.c_{c}.weight"].T for c in "qkv")
        if f"value_embeds.{n}.weight" in w:
            opening = w[f"{block}.attn.ve_gate.weight"]
            share = gate * torch.sigmoid(u[:, : opening.shape[1]] @ opening.T)
            v = v + share.repeat_interleave(head, 1) * w[f"value_embeds.{n}.weight"][ids]
        out = torch.zeros_like(x)
        for h in range(HEADS):
            g = h // (HEADS // GROUPS)
            own, other = slice(h * head, (h + 1) * head), slice(g * head, (g + 1) * head)
            for t in range(len(ids)):
                seen = range(max(0, t - window), t + 1)
                turned = torch.stack([turn(k[s, other], s, base) for s in seen])
                keys = scale * normed(turned)
                query = scale * normed(turn(q[t, own], t, base))
                weights = torch.softmax(keys @ query / head**0.5, 0)
                out[t, own] = weights @ v[seen.start : seen.stop, other]
        x = x + out @ w[f"{block}.attn.c_proj.weight"].T
        hidden = (normed(x) @ w[f"{block}.mlp.c_fc.weight"].T).clamp(min=0) ** 2
        x = x + hidden @ w[f"{block}.mlp.c_proj.weight"].T
        if streams is not None:
            streams.append(x)
        if n == LAYERS // 2:
            middle = x
    if generation == "smear":
        x = x - w["backout_lambda"] * middle
    logits = (normed(x) @ w["lm_head.weight"].T)[:, :VOCAB]
    return 15 * torch.tanh(logits / 15)


def turn(x, position, base):
    """The pair (j, j + K/2) turned by -t base^(-2j/K), with sine and cosine in bfloat16."""
    half = len(x) // 2
    angles = position / torch.tensor(base) ** (torch.arange(half) / half)
    cos, sin = angles.cos().bfloat16().double(), angles.sin().bfloat16().double()
    return torch.cat((x[:half] * cos + x[half:] * sin, x[half:] * cos - x[:half] * sin))
