"""Addresses of objects, what shows that one changed, and which errors are worth another try."""

from __future__ import annotations

import datetime
import errno

import pytest

from hpcurate.errors import ConfigError, HpcurateError, SetupLost, StoreFailed
from hpcurate.inside import HasChanged
from hpcurate.objects.address import Address, Seen, is_remote, parse, stamp_ns
from hpcurate.objects.publishing import abandoned
from hpcurate.objects.trouble import explained, is_momentary, patiently

NOON = datetime.datetime(2026, 11, 23, 12, 0, 0, 123_000, tzinfo=datetime.UTC)


class ClientError(Exception):
    """As botocore has it; by the name of its module, as none is imported for these tests."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(f"An error occurred ({code})")
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


ClientError.__module__ = "botocore.exceptions"


def behind(error: BaseException, cause: BaseException) -> BaseException:
    """As s3fs translates errors."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://b/a/b.mp4", Address("b", "a/b.mp4")),
        ("s3://b", Address("b", "")),
        ("s3://b/", Address("b", "")),
        ("s3://b//x", Address("b", "/x")),
        ("s3://b/a?versionId=1#x\ny", Address("b", "a?versionId=1#x\ny")),
    ],
)
def test_a_key_is_all_that_comes_after_the_bucket(text: str, expected: Address) -> None:
    """No character of it means anything."""
    assert expected == parse(text)


@pytest.mark.parametrize("text", ["s3:///x", "s3://", "/data/s3://b/x", "gs://b/x"])
def test_what_has_no_bucket_is_refused(text: str) -> None:
    """By name."""
    with pytest.raises(ConfigError, match="expected s3://BUCKET/KEY"):
        parse(text)


def test_only_a_text_with_the_scheme_is_remote() -> None:
    """A file of that name in a folder is a file."""
    assert [True, False, False, False] == [is_remote(one) for one in ("s3://b/x", "./s3://b/x", None, 3)]


def test_a_stamp_is_the_same_for_a_listing_and_an_answer() -> None:
    """MinIO lists milliseconds, and HTTP has none; the ETag stands in quotes or not."""
    assert stamp_ns(NOON, '"abc"') == stamp_ns(NOON.replace(microsecond=0), "abc")


def test_two_contents_of_one_second_differ() -> None:
    """S3's times have seconds."""
    assert stamp_ns(NOON, "abc") != stamp_ns(NOON, "abd")
    assert stamp_ns(NOON, "abc") // 10**9 == int(NOON.timestamp())


def test_what_is_not_known_is_not_compared() -> None:
    """A task that was made by hand has no time."""
    assert Seen(3, 0).same_as(Seen(3, 77))
    assert not Seen(3, 76).same_as(Seen(3, 77))
    assert not Seen(4, 0).same_as(Seen(3, 77))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (behind(OSError(errno.EBUSY, "reduce your rate"), ClientError("SlowDown", 503)), True),
        (behind(OSError(errno.EIO, "?"), ClientError("InternalError", 500)), True),
        (ClientError("RequestTimeout", 400), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (behind(FileNotFoundError(), ClientError("NoSuchKey", 404)), False),
        (behind(PermissionError(), ClientError("AccessDenied", 403)), False),
        (ClientError("ExpiredToken", 400), False),
        (OSError(errno.ENOSPC, "full"), False),
        (HasChanged("x"), False),
    ],
)
def test_which_errors_are_worth_another_try(error: BaseException, expected: bool) -> None:
    """Those of a server that is busy, or a network; no answer about the object itself."""
    assert expected == is_momentary(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (behind(FileNotFoundError("x"), ClientError("NoSuchKey", 404)), FileNotFoundError),
        (behind(PermissionError("x"), ClientError("AccessDenied", 403)), PermissionError),
        (behind(PermissionError("x"), ClientError("InvalidAccessKeyId", 403)), SetupLost),
        (behind(PermissionError("x"), ClientError("ExpiredToken", 400)), SetupLost),
        (HasChanged("x"), HasChanged),
        (StoreFailed("x"), StoreFailed),
        (ClientError("InvalidRequest", 400), OSError),
    ],
)
def test_who_is_to_blame(error: BaseException, expected: type[Exception]) -> None:
    """Wrong keys are no object's fault: no item becomes a dead letter of them."""
    assert expected is type(explained("reading s3://b/x", error))


def test_a_refusal_names_the_object() -> None:
    """Not only what the server said."""
    assert "reading s3://b/x" in str(explained("reading s3://b/x", FileNotFoundError()))


def fails(*errors: Exception | str) -> tuple[list[int], object]:
    """An action that does this, one after the other."""
    left, calls = list(errors), list[int]()

    def action() -> str:
        calls.append(1)
        now = left.pop(0)
        if isinstance(now, Exception):
            raise now
        return now

    return calls, action


def test_it_is_tried_as_often_as_there_are_pauses_and_once_more() -> None:
    """Then no task is to blame."""
    calls, action = fails(*[ConnectionResetError("gone")] * 3)
    with pytest.raises(StoreFailed, match="reading x: ConnectionResetError: gone: still so after 3 tries"):
        patiently("reading x", action, (0.0, 0.0))  # type: ignore[arg-type]
    assert 3 == len(calls)


def test_progress_begins_the_pauses_again() -> None:
    """A long object over a bad network is not given up as long as it grows."""
    calls, action = fails(*[ConnectionResetError()] * 6, "done")
    assert "done" == patiently("x", action, (0.0,), lambda: len(calls))  # type: ignore[arg-type]


def test_another_error_is_raised_at_once() -> None:
    """A missing object is missing a second later, too."""
    calls, action = fails(FileNotFoundError("x"), "done")
    with pytest.raises(FileNotFoundError):
        patiently("x", action, (0.0, 0.0))  # type: ignore[arg-type]
    assert 1 == len(calls)
    assert not issubclass(FileNotFoundError, HpcurateError)


def test_uploads_that_a_killed_process_left_are_those_of_the_same_object_and_old() -> None:
    """Another worker may be at work on it now."""
    old, new = NOON - datetime.timedelta(hours=2), NOON - datetime.timedelta(minutes=2)
    answer = {
        "Uploads": [
            {"Key": "a", "UploadId": "1", "Initiated": old},
            {"Key": "a", "UploadId": "2", "Initiated": new},
            {"Key": "ab", "UploadId": "3", "Initiated": old},
        ]
    }
    assert ["1"] == abandoned(answer, "a", NOON)
    assert [] == abandoned({}, "a", NOON)
