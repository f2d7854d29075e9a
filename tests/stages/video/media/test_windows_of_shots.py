"""Windows for a network that finds shots: every frame is judged once, between its neighbours; memory stays small."""

from __future__ import annotations

import numpy as np
import pytest

from stages.video.media.shots import MARGIN, WINDOW, ShotFinder, first_frames

LENGTHS = [0, 1, 2, 24, 25, 26, 49, 50, 51, 74, 75, 76, 99, 100, 101, 149, 150, 151, 325]


class Network:
    """Answers with the number that each picture shows, and notes what it was given."""

    def __init__(self) -> None:
        self.given: list[np.ndarray] = []

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """(n, 100, 27, 48, 3) → (n, 100)."""
        self.given += [window[:, 0, 0, 0].astype(int) + 256 * window[:, 0, 0, 1].astype(int) for window in windows]
        return np.stack(self.given[-len(windows) :]).astype(np.float32)


def picture(number: int) -> np.ndarray:
    """One that shows its number."""
    made = np.zeros((27, 48, 3), np.uint8)
    made[0, 0, :2] = number % 256, number // 256
    return made


@pytest.mark.parametrize("together", [1, 2, 4, 7])
@pytest.mark.parametrize("frames", LENGTHS)
def test_every_frame_is_judged_once_and_in_order(frames: int, together: int) -> None:
    """Also those of the tail, which fill no window: half a second of a video was lost where it is not padded."""
    finder = ShotFinder(Network(), together)
    for number in range(frames):
        finder.add(picture(number))
    assert list(range(frames)) == finder.chances()


@pytest.mark.parametrize("frames", LENGTHS[1:])
def test_ends_are_padded_with_the_first_and_the_last_picture(frames: int) -> None:
    """As the published inference does: window k begins 25 frames before frame 50 k."""
    network = Network()
    finder = ShotFinder(network, 3)
    for number in range(frames):
        finder.add(picture(number))
    finder.chances()
    padded = [0] * MARGIN + list(range(frames)) + [frames - 1] * WINDOW
    starts = range(0, frames, WINDOW // 2)
    assert [padded[start : start + WINDOW] for start in starts] == [list(window) for window in network.given]


def test_a_long_video_is_never_held() -> None:
    """At most the window that fills and those that wait for the network."""
    finder = ShotFinder(Network(), 4)
    most = 0
    for number in range(2000):
        finder.add(picture(number))
        most = max(most, len(finder._held) + WINDOW * len(finder._windows))
    assert most < WINDOW * 5


@pytest.mark.parametrize(
    ("chances", "expected"),
    [
        ([], []),
        ([0.0, 0.0, 0.0], []),
        ([0.0, 0.9, 0.0, 0.0], [2]),  # the likely one is the last of the old shot
        ([0.0, 0.5, 0.9, 0.6, 0.0], [3]),  # a dissolve: one cut, in its middle
        ([0.0, 0.9, 0.9, 0.0], [2]),
        ([0.0, 0.4, 0.0], []),  # above, not at the threshold
        ([0.9, 0.0, 0.0, 0.9], [1, 4]),  # at the very end: no frame of the video, `scenes` leaves it out
    ],
)
def test_a_run_above_the_threshold_is_one_cut(chances: list[float], expected: list[int]) -> None:
    """The frame after the likeliest."""
    assert expected == first_frames(chances, 0.4)
