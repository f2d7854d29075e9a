"""A GGUF file as llama.cpp writes it, with a llama of random weights, packed to 8 bits, and a tokenizer of bytes."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = "{% for m in messages %}{{ m.role + ': ' + m.content + '<|end|>' }}{% endfor %}{{ 'assistant: ' }}"
SIZE, LAYERS, HEADS, INNER = 64, 2, 4, 128


def write_tiny_gguf(path: Path) -> None:
    """Some 300 kB."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter, quantize
    from tokenizers.pre_tokenizers import ByteLevel

    words = ["<|end|>", *sorted(ByteLevel.alphabet()), "Ġa"]
    writer = GGUFWriter(str(path), "llama")
    for value, add in [
        ("tiny", writer.add_name), (256, writer.add_context_length), (SIZE, writer.add_embedding_length),
        (LAYERS, writer.add_block_count), (INNER, writer.add_feed_forward_length), (HEADS, writer.add_head_count),
        (HEADS, writer.add_head_count_kv), (1e-5, writer.add_layer_norm_rms_eps), (10000.0, writer.add_rope_freq_base),
        (SIZE // HEADS, writer.add_rope_dimension_count), (len(words), writer.add_vocab_size),
        ("gpt2", writer.add_tokenizer_model), (words, writer.add_token_list),
        ([3, *[1] * (len(words) - 1)], writer.add_token_types), (["Ġ a"], writer.add_token_merges),
        (0, writer.add_bos_token_id), (0, writer.add_eos_token_id), (0, writer.add_pad_token_id),
        (TEMPLATE, writer.add_chat_template),
    ]:  # fmt: skip
        add(value)
    draw = np.random.default_rng(7)
    shapes = {"token_embd.weight": (len(words), SIZE), "output.weight": (len(words), SIZE)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.attn_{name}.weight": (SIZE, SIZE) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{layer}.ffn_{name}.weight": (INNER, SIZE) for name in ("gate", "up")}
        shapes[f"blk.{layer}.ffn_down.weight"] = (SIZE, INNER)
    for name, shape in shapes.items():
        packed = quantize(draw.normal(0, 0.3, shape).astype(np.float32), GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, packed, raw_dtype=GGMLQuantizationType.Q8_0)
    for name in ["output_norm", *(f"blk.{n}.{kind}_norm" for n in range(LAYERS) for kind in ("attn", "ffn"))]:
        writer.add_tensor(f"{name}.weight", np.ones(SIZE, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
