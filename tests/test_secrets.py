"""Which keys are those of secrets, and secrets in plain data."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcurate.errors import ConfigError
from hpcurate.secrets import ENDINGS, TOKENS, is_secret, is_secret_variable, refuse_typed, typed_secrets

SECRET = [
    "hf_token",
    "hfToken",
    "HF_TOKEN",
    "hub-token",
    "token",
    "api_key",
    "apiKey",
    "APIKey",
    "apikey",
    "openai_api_key",
    "wandb_api_key",
    "WANDB_API_KEY",
    "password",
    "dbPassword",
    "db-password",
    "passwd",
    "passphrase",
    "secret",
    "client_secret",
    "secrets",
    "api_keys",
    "secret_key",
    "access_key",
    "AWS_SECRET_ACCESS_KEY",
    "private_key",
    "password2",
    "api_key_2",
    "access_token",
    "auth_token",
    "use_auth_token",
    "bearer_token",
    "github_token",
    "GH_TOKEN",
    "api_token",
    "personal_access_token",
    "HUGGING_FACE_HUB_TOKEN",
    "hf_tokens",
    "SLURM_JWT",
    "stages.caption.hf_token",
    "stages.caption.api_keys[0]",
]
HARMLESS = [
    "max_token",
    "max_tokens",
    "pad_token",
    "eos_token",
    "bos_token",
    "unk_token",
    "stop_token",
    "image_token",
    "num_tokens",
    "tokens",
    "tokenizer",
    "token_count",
    "token_id",
    "high_token",
    "length_token",
    "special_tokens",
    "key",
    "keys",
    "key_frames",
    "keyword",
    "monkey",
    "hotkey",
    "group_by_key",
    "sort_key",
    "primary_key",
    "secret_name",
    "passwords_file",
    "api",
    "access",
    "private",
    "password_length",
    "stages.hf_token.name",
    "x",
    "2",
]


@pytest.mark.parametrize("key", SECRET)
def test_keys_of_secrets(key: str) -> None:
    """Whatever separates their words, and wherever they stand."""
    assert is_secret(key)


@pytest.mark.parametrize("key", HARMLESS)
def test_keys_of_other_things(key: str) -> None:
    """A language model has tokens, and a table has keys."""
    assert not is_secret(key)


def test_a_variable_of_the_environment_that_is_a_token_is_a_secret() -> None:
    """There no model puts its padding."""
    assert [True, True, False] == [is_secret_variable(n) for n in ("MY_TOKEN", "HF_TOKEN", "TOKENIZERS_PARALLELISM")]


WORDS = ["api", "key", "secret", "access", "private", "hf", "wandb", "pad", "eos", "max", "token", "tokens", "password"]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4), st.sampled_from(["_", "-", "camel", "UPPER"]))
def test_the_spelling_of_a_key_does_not_matter(words: list[str], style: str) -> None:
    """Words joined by underscores, hyphens, capitals: the rule sees the words."""
    spelled = {
        "_": "_".join(words),
        "-": "-".join(words),
        "camel": words[0] + "".join(word.capitalize() for word in words[1:]),
        "UPPER": "_".join(words).upper(),
    }[style]
    joined, last = "".join(words).removesuffix("s"), words[-1].removesuffix("s")
    endings = [joined] if words not in (["tokens"],) else []
    expected = any(one.endswith(ENDINGS) for one in endings) or words == ["token"]
    expected = expected or (len(words) > 1 and last == "token" and words[-2] + last in TOKENS)
    assert expected == is_secret(spelled)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "max_tokens"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=40)
@given(PLAIN, st.sampled_from(["hf_token", "apiKey", "password"]), st.text(min_size=1).filter(str.strip))
def test_a_secret_is_found_at_any_depth(plain: object, key: str, value: str) -> None:
    """Whatever is around it, its full key is named once; without it nothing is."""
    assert [] == list(typed_secrets({"stages": plain}))
    if value.strip() in ("null", "''", '""', "???"):
        return
    for around in ({"x": [plain, {"y": {key: value}}]}, {"x": [plain, {"y": {key: [None, value]}}]}):
        (found,) = typed_secrets(around, "stages.s")
        assert found.key.startswith(f"stages.s.x[1].y.{key}")


@pytest.mark.parametrize(
    "value", [None, "", "  ", True, "${oc.env:HF_TOKEN}", "${oc.env:HF_TOKEN,}", "${oc.env:X,null}"]
)
def test_what_is_no_secret_passes(value: object) -> None:
    """Nothing, a switch, and the name of a variable."""
    refuse_typed({"hf_token": value, "password": {"of": [value]}})


@pytest.mark.parametrize(
    "value", ["x", 1234, 0.5, "${oc.env:HF_TOKEN,hf_abc}", "Bearer ${oc.env:HF_TOKEN}", ["x"], {"v": 1}]
)
def test_what_is_one_is_refused(value: object) -> None:
    """The value itself, also as the default of a variable; no message has it."""
    with pytest.raises(ConfigError, match=r"stages\.a\.hf_token.*'\$\{oc\.env:HF_TOKEN\}'") as refused:
        refuse_typed({"stages": {"a": {"hf_token": value}}})
    assert "hf_abc" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "text", "name"),
    [
        ("launcher.setup", ["module load cuda", "export HF_TOKEN=hf_abc"], "HF_TOKEN"),
        ("launcher.setup", ['X=1; MY_TOKEN="a b" python x'], "MY_TOKEN"),
        ("launcher.setup", ["wandb login --api-key abc"], "API_KEY"),
        ("launcher.sbatch", {"export": "ALL,WANDB_API_KEY=abc"}, "WANDB_API_KEY"),
        ("stages.a", {"sbatch": {"export": "HF_TOKEN=abc"}}, "HF_TOKEN"),
        ("stages.a", {"env": "apptainer exec --env HF_TOKEN=abc x.sif python"}, "HF_TOKEN"),
        ("models.m", {"url": "https://host/weights?token=abc&x=1"}, "TOKEN"),
    ],
)
def test_secrets_in_lines_of_a_shell(key: str, text: object, name: str) -> None:
    """What ends in a script, a command or an address may give a value to a variable."""
    top, _, below = key.partition(".")
    (found,) = typed_secrets({top: {below: text}})
    assert (name, True) == (found.variable, found.in_text)


@pytest.mark.parametrize(
    "line",
    [
        "export HF_TOKEN=$(cat ~/.hf)",
        'HF_TOKEN="$OTHER"',
        "x --token $HF_TOKEN",
        "--token --quiet",
        "PAD=1",
        "A_TOKEN=",
    ],
)
def test_lines_that_name_where_a_secret_is(line: str) -> None:
    """Another variable, or what a command prints."""
    assert [] == list(typed_secrets({"launcher": {"setup": [line]}}))


def test_a_prompt_may_say_anything() -> None:
    """Only what ends in a shell is read as one."""
    assert [] == list(typed_secrets({"stages": {"a": {"prompt": "what does password=x mean?"}}}))
