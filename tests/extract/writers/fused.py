"""Which outputs of a fused projection are q, k, v: each cut as its architecture says of its heads."""


def thirds(w):
    return w.chunk(3)


def head_by_head(w):
    return tuple(part.flatten(0, 1) for part in w.unflatten(0, (4, 3, 8)).unbind(1))


def one_key_head(w):
    return w.split([32, 8, 8])


def two_key_heads(w):
    return w.split([32, 16, 16])


def key_groups(w):
    heads = w.unflatten(0, (2, 4, 8))
    return heads[:, :2].flatten(0, 2), heads[:, 2].flatten(0, 1), heads[:, 3].flatten(0, 1)


def tpu_cores(w):
    """Four cores, each with its two heads of q, of v, and of k."""
    q, v, k = w.unflatten(0, (4, 3, 8)).unbind(1)
    return tuple(part.flatten(0, 1) for part in (q, k, v))


# by name in `huggingface.CONFIGS`; of other architectures q, k and v are matrices of their own
CUTS = {
    "gpt2": thirds,
    "gpt_neox": head_by_head,
    "gpt_bigcode": one_key_head,
    "gpt_bigcode-heads": head_by_head,
    "bloom": head_by_head,
    "mpt": thirds,
    "mpt-clipped": thirds,
    "falcon": one_key_head,
    "falcon-40b": key_groups,
    "falcon-rw": head_by_head,
    "codegen": tpu_cores,
    "phi3": two_key_heads,
    "phi3-window": two_key_heads,
}
# gate and up in one matrix, in halves
GATED_TOGETHER = {"phi3", "phi3-window", "glm", "glm4"}


def cuts_of(name):
    """Component -> (cut, piece) of one architecture's fused matrices."""
    found = {}
    if name in CUTS:
        found |= {f"attn.{letter}": (CUTS[name], i) for i, letter in enumerate("qkv")}
    if name in GATED_TOGETHER:
        found |= {f"mlp.{part}": (lambda w: w.chunk(2), i) for i, part in enumerate(("gate", "up"))}
    return found
