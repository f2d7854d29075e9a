"""Vision-language models with random weights, as their families are built: Qwen2.5-VL, Qwen3-VL, LLaVA, SmolVLM."""

from __future__ import annotations

from pathlib import Path
from string import ascii_letters
from typing import Any

VISION_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
QWEN_TOKENS = ["<|endoftext|>", "<|im_end|>", "<|im_start|>", *VISION_TOKENS]
LLAVA_TOKENS = ["<pad>", "</s>", "<image>"]
SMOLVLM_TOKENS = ["<pad>", "<end_of_utterance>", "<|im_start|>", "<image>", "<fake_token_around_image>", "<global-img>"]
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,  # else every answer is the same token again and again
}
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAVA_CHAT = (
    "{% for message in messages %}{{ message.role | upper }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}<image>\n{% else %}{{ part.text }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
SMOLVLM_CHAT = (
    "<|im_start|>{% for message in messages %}{{ message.role | capitalize }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def byte_tokenizer(special: list[str], chat: str, end: str) -> Any:
    """A token for each byte, and those that are named; the first of them pads, on the left."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=special[0], eos_token=end, padding_side="left", chat_template=chat
    )


def tiny_qwen2_5_vl(folder: Path) -> None:
    """Qwen2.5-VL: patches of 14 pixels, four of which are a token; window attention in one layer of two."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    look = {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1], "out_hidden_size": 64}
    _tiny_qwen(folder, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, look, {"mrope_section": [2, 3, 3]})


def tiny_qwen3_vl(folder: Path) -> None:
    """Qwen3-VL: patches of 16 pixels, features of both layers, times as text."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    look = {"patch_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1], "out_hidden_size": 64}
    rope = {"mrope_section": [2, 3, 3], "mrope_interleaved": True}
    _tiny_qwen(folder, Qwen3VLConfig, Qwen3VLForConditionalGeneration, look, rope)


def _tiny_qwen(folder: Path, config: Any, network: Any, look: dict[str, Any], rope: dict[str, Any]) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer = byte_tokenizer(QWEN_TOKENS, CHAT, "<|im_end|>")
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(patch_size=look["patch_size"]).save_pretrained(folder)
    text = {
        **TEXT,
        "bos_token_id": None,
        "head_dim": 16,
        "vocab_size": len(tokenizer),
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, **rope},
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "spatial_merge_size": 2, **look}
    tokens = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{name}{ending}|>")
        for name, ending in (("image", "_pad"), ("video", "_pad"), ("vision_start", ""), ("vision_end", ""))
    }
    made = config(text_config=text, vision_config=vision, tie_word_embeddings=False, **tokens)
    _save(network, made, tokenizer, folder)


def tiny_llava(folder: Path) -> None:
    """LLaVA: each picture alone by CLIP, 56 x 56 pixels in 16 patches; it knows no video."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.llava.processing_llava import LlavaProcessor

    tokenizer = byte_tokenizer(LLAVA_TOKENS, LLAVA_CHAT, "</s>")
    images = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    LlavaProcessor(
        image_processor=images, tokenizer=tokenizer, patch_size=14, vision_feature_select_strategy="default",
        chat_template=LLAVA_CHAT, num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    vision = {
        "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "image_size": 56, "patch_size": 14, "projection_dim": 32,
    }  # fmt: skip
    made = LlavaConfig(
        text_config=_llama(tokenizer), vision_config=vision, tie_word_embeddings=False,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    _save(LlavaForConditionalGeneration, made, tokenizer, folder)


def tiny_smolvlm(folder: Path) -> None:
    """SmolVLM: each picture is a square of 64 x 64 pixels and 4 tokens; an image also in parts, a video with times."""
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    parts = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    tokenizer = byte_tokenizer([*SMOLVLM_TOKENS, *parts], SMOLVLM_CHAT, "<end_of_utterance>")
    tokenizer.save_pretrained(folder)
    SmolVLMImageProcessorPil(size={"longest_edge": 128}, max_image_size={"longest_edge": 64}).save_pretrained(folder)
    (folder / "processor_config.json").write_text('{"image_seq_len": 4, "processor_class": "SmolVLMProcessor"}')
    made = SmolVLMConfig(
        text_config=_llama(tokenizer),
        vision_config={
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "image_size": 64, "patch_size": 16,
        },
        scale_factor=2, image_token_id=tokenizer.convert_tokens_to_ids("<image>"), tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    _save(SmolVLMForConditionalGeneration, made, tokenizer, folder)


def _llama(tokenizer: Any) -> dict[str, Any]:
    return {
        **TEXT, "model_type": "llama", "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip


def _save(network: Any, config: Any, tokenizer: Any, folder: Path) -> None:
    """Random weights, larger than those of a new network: else what it says hardly depends on what it sees.

    It says letters only, so that its answers are text, and never ends one by itself.
    """
    import torch

    torch.manual_seed(7)
    made = network(config)
    letters = torch.tensor(tokenizer.convert_tokens_to_ids(list(ascii_letters)))
    with torch.no_grad():
        for weights in made.parameters():
            if weights.ndim > 1:
                weights.mul_(8)
        spoken = made.lm_head.weight[letters].clone()
        made.lm_head.weight.zero_()[letters] = spoken
    made.generation_config.eos_token_id = tokenizer.eos_token_id
    made.generation_config.pad_token_id = tokenizer.pad_token_id
    made.save_pretrained(folder)
