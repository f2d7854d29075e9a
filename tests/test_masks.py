"""Values of secrets in texts and streams."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcurate import masks
from hpcurate.errors import ConfigError
from hpcurate.masks import Sieve, keep, keep_named, mask, mask_plain, refuse_known

TOKEN = "hf_0123456789abcdef"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from another test, nor for it."""
    monkeypatch.setattr(masks, "_kept", {})
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def test_the_name_stands_for_the_value() -> None:
    """Also as JSON, Python and addresses write it; a short value is left."""
    odd = 'p"ss wörd/ '
    keep("DB_PASSWORD", odd)
    keep("PIN_SECRET", "1234")
    assert "***HF_TOKEN***; 1234" == mask(f"{TOKEN}; 1234")
    for written in (odd, odd.strip(), json.dumps(odd), repr(odd), quote(odd, safe="")):
        assert "***DB_PASSWORD***" == mask(written).strip("\"'").strip()


def test_a_secret_stays_one_after_it_has_left_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage may take it out in `setup`, and raise with it later."""
    mask("")
    monkeypatch.delenv("HF_TOKEN")
    assert "***HF_TOKEN***" == mask(TOKEN)


def test_what_a_parameter_names_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """`hf_token: ${oc.env:MINE}`: whatever the variable is called."""
    monkeypatch.setenv("MINE", "abcdefgh")
    assert "abcdefgh" == mask("abcdefgh")
    keep_named({"a": [{"hf_token": "${oc.env:MINE}"}]})
    assert "***MINE***" == mask("abcdefgh")


def test_plain_data_keeps_its_shape() -> None:
    """Texts are masked, keys and numbers are not."""
    assert {TOKEN: ["***HF_TOKEN***!", 1, None]} == mask_plain({TOKEN: (f"{TOKEN}!", 1, None)})


def test_a_value_that_the_shell_has_put_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`stages.a.header="Bearer $HF_TOKEN"`: no key tells, but the value is known. Short ones are in any text."""
    monkeypatch.setenv("DB_PASSWORD", "postgres")
    refuse_known({"text": "postgres"})
    with pytest.raises(ConfigError, match=r"^stages.a\[0\].header: contains the value of HF_TOKEN"):
        refuse_known({"a": [{"header": f"Bearer {TOKEN}"}]}["a"], "stages.a")


@given(st.lists(st.sampled_from([b"secret-a", b"secret-ab", b"s", b"sec", b"\n", b"x", b"ret-a"])), st.data())
def test_a_stream_is_masked_however_it_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    """Cut anywhere, it gives what the whole would, and keeps back less than a secret is long."""
    whole, sieve = b"".join(parts), Sieve({"secret-a": "A", "other-secret": "B"})
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    found = b""
    for low, high in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += sieve.feed(whole[low:high])
    rest = sieve.rest()
    assert whole.replace(b"secret-a", b"***A***") == found + rest
    assert len(rest) < len(b"other-secret")
