"""Random weights of real architectures, small enough for a test, saved as the hub has them."""

from __future__ import annotations

from pathlib import Path

TEXT = ["the key to a creating good art is", "once upon a time", "it was a bright cold day in april"] * 20


def build_all(folder: Path) -> list[str]:
    """Make every model below `folder`; their repository names."""
    models = {"hpcurate/tiny-gpt2": tiny_gpt2, "hpcurate/tiny-embedder": tiny_embedder}
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
