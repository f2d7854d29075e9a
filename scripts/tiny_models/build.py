"""Random weights of real architectures, small enough for a test, saved as the hub has them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from tiny_models import vision_language

TEXT = ["the key to a creating good art is", "once upon a time", "it was a bright cold day in april"] * 20


def build_all(folder: Path) -> list[str]:
    """Make every model below `folder`; their repository names."""
    models = {
        "hpcurate/tiny-gpt2": tiny_gpt2,
        "hpcurate/tiny-embedder": tiny_embedder,
        "hpcurate/tiny-t5": tiny_t5,
        "hpcurate/tiny-clip": tiny_clip,
        "hpcurate/tiny-siglip": tiny_siglip,
        "hpcurate/tiny-aesthetic-head": tiny_aesthetic_head,
        "hpcurate/tiny-qwen2_5-vl": vision_language.tiny_qwen2_5_vl,
        "hpcurate/tiny-qwen3-vl": vision_language.tiny_qwen3_vl,
        "hpcurate/tiny-llava": vision_language.tiny_llava,
        "hpcurate/tiny-smolvlm": vision_language.tiny_smolvlm,
    }
    for name, build in models.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        build(folder / name)
    return list(models)


def tiny_gpt2(folder: Path) -> None:
    """GPT-2, two layers of 32 numbers, a byte-level vocabulary of a few hundred."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(TEXT, vocab_size=320, min_frequency=1, special_tokens=["<|endoftext|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(7)
    size = len(tokenizer)
    config = GPT2Config(
        vocab_size=size, n_positions=128, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)


def tiny_embedder(folder: Path) -> None:
    """BERT as sentence embedders use it, two layers of 32 numbers, a word-piece vocabulary of single characters."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    trained = BertWordPieceTokenizer()
    trained.train_from_iterator(TEXT, vocab_size=200, min_frequency=1)
    special = {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=trained.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)


def tiny_t5(folder: Path) -> None:
    """T5 with its decoder, as the hub has it; two layers of 32 numbers, a vocabulary of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    letters = ["<pad>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bare = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    bare.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(7)
    config = T5Config(vocab_size=len(letters), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2,
                      pad_token_id=0, eos_token_id=1, decoder_start_token_id=0)  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)


TEXT_TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
IMAGE_TOWER = {**TEXT_TOWER, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 224, "patch_size": 32}


def tiny_clip(folder: Path) -> None:
    """CLIP, two layers of 32 numbers for pictures of 224 x 224, vectors of 32 numbers; no tokenizer."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(7)
    text = {**TEXT_TOWER, "vocab_size": 64, "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 1}
    CLIPModel(CLIPConfig(text_config=text, vision_config=IMAGE_TOWER, projection_dim=32)).save_pretrained(folder)
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    crop = {"size": 224, "crop_size": 224, "do_center_crop": True}  # as CLIP ViT-L/14 has it
    _write_look(folder, {**crop, "image_mean": mean, "image_std": std})


def tiny_siglip(folder: Path) -> None:
    """SigLIP, the same in small; its pictures are squeezed, not cropped."""
    import torch
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(7)
    text = {**TEXT_TOWER, "vocab_size": 64, "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 1}
    SiglipModel(SiglipConfig(text_config=text, vision_config=IMAGE_TOWER)).save_pretrained(folder)
    half = [0.5, 0.5, 0.5]
    _write_look(folder, {"size": {"height": 224, "width": 224}, "image_mean": half, "image_std": half})


def tiny_aesthetic_head(folder: Path) -> None:
    """Linear layers as in the aesthetic predictor, for vectors of tiny CLIP."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(7)
    sizes = (32, 16, 8, 1)
    layers = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
    places = (0, 2, 4)  # dropout, which has no tensors, lies between
    save_file({f"layers.{k}.{n}": t for k, one in zip(places, layers) for n, t in one.state_dict().items()},
              folder / "model.safetensors")  # fmt: skip


def _write_look(folder: Path, figures: dict[str, Any]) -> None:
    plain = {"do_resize": True, "do_rescale": True, "do_normalize": True, "resample": 3, **figures}
    (folder / "preprocessor_config.json").write_text(json.dumps(plain, indent=2))
