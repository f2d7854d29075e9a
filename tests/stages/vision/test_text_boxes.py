"""From a detector's map to boxes, and which of them stand still: every step by pictures that are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the video extra is not installed")

import cv2

from stages.vision.text_boxes import boxes_of, covered, in_corner, overlaps, overlay

HEIGHT, WIDTH = 200, 400


def core(centre: tuple[float, float], size: tuple[float, float], angle: float = 0, value: float = 1.0) -> np.ndarray:
    """A map with one line's core."""
    text = np.zeros((HEIGHT, WIDTH), np.float32)
    corners = cv2.boxPoints((centre, size, angle))
    cv2.fillPoly(text, [np.round(corners).astype(np.int32)], value)
    return text


def frame(box: np.ndarray) -> list[int]:
    """Left, top, right, bottom in pixels."""
    return [int(n) for n in np.round([*(box.min(0) * (WIDTH, HEIGHT)), *(box.max(0) * (WIDTH, HEIGHT))])]


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """An upright box of shares."""
    return np.asarray([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


def boxes(*each: np.ndarray) -> np.ndarray:
    """Of one picture."""
    return np.asarray(each, np.float32).reshape(-1, 4, 2)


def test_a_core_becomes_a_box_that_is_larger_on_all_sides() -> None:
    """By 1.6 times area by circumference: 1.6 * 100 * 20 / 240 = 13 pixels."""
    (found,) = boxes_of(core((200, 100), (100, 20)), tallest=0.5)
    assert [137, 77, 263, 123] == pytest.approx(frame(found), abs=2)


def test_a_slanted_line_has_a_slanted_box() -> None:
    """Of half the area that its upright frame has."""
    (found,) = boxes_of(core((200, 100), (100, 20), 30), tallest=0.5)
    left, top, right, bottom = frame(found)
    assert covered(boxes(found), WIDTH, HEIGHT) * WIDTH * HEIGHT < 0.6 * (right - left) * (bottom - top)


def test_two_lines_are_two_boxes() -> None:
    """That may touch once they are larger."""
    text = np.maximum(core((100, 50), (100, 20)), core((100, 90), (100, 20)))
    assert 2 == len(boxes_of(text, tallest=0.5))


@pytest.mark.parametrize(
    "text",
    [
        np.zeros((HEIGHT, WIDTH), np.float32),
        core((200, 100), (100, 20), value=0.2),
        core((200, 100), (100, 20), value=0.4),
        core((200, 100), (2, 1)),
        core((200, 100), (300, 80)),
        np.ones((HEIGHT, WIDTH), np.float32),
    ],
    ids=["empty", "no pixel", "unsure", "tiny", "too high", "everything"],
)
def test_what_is_no_line_has_no_box(text: np.ndarray) -> None:
    """Too unsure, too small, too high for a line."""
    assert (0, 4, 2) == boxes_of(text, tallest=0.33).shape


def test_boxes_end_at_the_picture() -> None:
    """In shares of it."""
    (found,) = boxes_of(core((20, 190), (60, 16)), tallest=0.5)
    assert (0.0, 1.0) == (found.min(), found.max())


def test_overlap_is_intersection_over_union() -> None:
    """Of each pair; 0 where there is none."""
    some = boxes(box(0, 0, 0.2, 0.2), box(0.5, 0.5, 1, 1))
    others = boxes(box(0, 0, 0.2, 0.1), box(0.1, 0, 0.3, 0.2), box(0.5, 0.5, 1, 1))
    assert np.allclose([[0.5, 1 / 3, 0], [0, 0, 1]], overlaps(some, others))
    assert (0, 3) == overlaps(boxes(), others).shape


STILL, NEAR = box(0.3, 0.8, 0.7, 0.9), box(0.301, 0.8, 0.701, 0.9)


def moving(n: int) -> np.ndarray:
    """A box that moves by a tenth of its width."""
    return box(0.1 + 0.04 * n, 0.2, 0.5 + 0.04 * n, 0.3)


@pytest.mark.parametrize(
    ("pictures", "needed", "counted"),
    [
        ([[STILL], [STILL], [STILL]], 3, [1, 1, 1]),
        ([[STILL], [NEAR], [STILL]], 3, [1, 1, 1]),
        ([[STILL], [], [STILL]], 2, [1, 0, 1]),
        ([[STILL], [], [STILL]], 3, [0, 0, 0]),
        ([[moving(0)], [moving(1)], [moving(2)]], 2, [0, 0, 0]),
        ([[moving(0), STILL], [STILL, moving(1)], [moving(2)]], 2, [1, 1, 0]),
        ([[STILL, moving(0)]], 1, [2]),
        ([[], []], 1, [0, 0]),
    ],
)
def test_what_stands_still_counts(pictures: list[list[Any]], needed: int, counted: list[int]) -> None:
    """In as many pictures as are needed, not one after the other; what moves a little each time does not."""
    assert counted == [len(found) for found in overlay([boxes(*each) for each in pictures], needed, 0.0)]


@pytest.mark.parametrize(
    ("one", "corner", "within"),
    [
        (box(0, 0, 0.1, 0.05), 0.1, True),
        (box(0.92, 0.95, 1, 1), 0.1, True),
        (box(0.92, 0.0, 1, 0.09), 0.1, True),
        (box(0, 0, 0.2, 0.05), 0.1, False),
        (box(0.4, 0, 0.6, 0.05), 0.1, False),
        (box(0, 0.4, 0.05, 0.5), 0.1, False),
        (box(0, 0, 0.1, 0.05), 0.0, False),
    ],
)
def test_a_corner_is_left_out(one: np.ndarray, corner: float, within: bool) -> None:
    """What lies within one of the four, with both its ends."""
    assert [within] == in_corner(boxes(one), corner).tolist()
    assert ([0] if within else [1]) == [len(found) for found in overlay([boxes(one)], 1, corner)]


def test_boxes_that_overlap_are_counted_once() -> None:
    """A share of the area."""
    assert covered(boxes(box(0, 0, 0.5, 0.5)), WIDTH, HEIGHT) == pytest.approx(0.25, abs=0.01)
    both = boxes(box(0, 0, 0.5, 0.5), box(0.25, 0, 0.5, 1))
    assert covered(both, WIDTH, HEIGHT) == pytest.approx(0.375, abs=0.01)
    assert 0 == covered(boxes(), WIDTH, HEIGHT)
