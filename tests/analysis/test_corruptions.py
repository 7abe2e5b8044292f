"""Corruptions by hand."""

import numpy as np
import pytest

from analysis.detector.corruptions import CLEAN, corrupted, settings, settings_in_order


def grey(*values: int) -> np.ndarray:
    """One image of one row: (1, 1, n, 3), grey."""
    return np.repeat(np.array(values, np.uint8)[None, None, :, None], 3, axis=3)


def noisy(images: int = 4, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (images, side, side, 3), np.uint8)


def test_brightness_multiplies_and_clips() -> None:
    spoilt = corrupted(grey(0, 10, 100, 200), ("brightness", 1.5), np.zeros(1))
    assert spoilt[0, 0, :, 0].tolist() == [0, 15, 150, 255]


def test_contrast_stretches_about_the_mean_grey_and_clips() -> None:
    spoilt = corrupted(grey(0, 90, 110, 200), ("contrast", 1.5), np.zeros(1))  # the mean is 100
    assert spoilt[0, 0, :, 0].tolist() == [0, 85, 115, 250]


def test_blur_spreads_a_point_as_the_gaussian_does() -> None:
    image = np.zeros((1, 9, 9, 3), np.uint8)
    image[0, 4, 4, 1] = 250
    spoilt = corrupted(image, ("blur", 0.5), np.zeros(1))
    bell = np.exp(-(np.arange(-2, 3) ** 2) / (2 * 0.5**2))
    expected = 250 * np.outer(bell, bell) / bell.sum() ** 2
    assert np.array_equal(spoilt[0, 2:7, 2:7, 1], np.rint(expected))
    assert not spoilt[..., [0, 2]].any()


def test_noise_is_as_large_as_it_says_and_belongs_to_the_image() -> None:
    images, rows = np.full((50, 32, 32, 3), 128, np.uint8), np.arange(50)
    spoilt = corrupted(images, ("noise", 8), rows)
    assert np.array_equal(spoilt, corrupted(images, ("noise", 8), rows))
    assert np.array_equal(spoilt[7:9], corrupted(images[7:9], ("noise", 8), rows[7:9]))
    assert not np.array_equal(spoilt[7], spoilt[8])
    assert abs(spoilt.mean() - 128) < 0.1
    assert abs(spoilt.std() - 8) < 0.1


def test_rescaling_keeps_a_constant_image_and_loses_detail() -> None:
    assert (corrupted(np.full((2, 32, 32, 3), 77, np.uint8), ("rescale", 12), np.zeros(2)) == 77).all()
    board = np.repeat(np.indices((32, 32)).sum(0)[None, :, :, None] % 2 * 255, 3, axis=3).astype(np.uint8)
    assert np.ptp(corrupted(board, ("rescale", 16), np.zeros(1))[0, 4:-4, 4:-4]) < 64  # it was 255


def test_jpeg_a_second_time_at_the_same_quality_changes_little() -> None:
    smooth = corrupted(noisy(), ("blur", 1.5), np.zeros(4))
    first = corrupted(smooth, ("jpeg", 75), np.zeros(4))
    again = corrupted(first, ("jpeg", 75), np.zeros(4))
    other = corrupted(first, ("jpeg", 60), np.zeros(4))
    change = [np.abs(spoilt.astype(int) - first).mean() for spoilt in (again, other)]
    assert 4 * change[0] < change[1]


@pytest.mark.parametrize("setting", [("blur", 0), ("noise", 0), ("rescale", 32), ("brightness", 1), ("contrast", 1)])
def test_the_neutral_severity_changes_nothing(setting: tuple[str, float]) -> None:
    images = noisy()
    assert np.array_equal(corrupted(images, setting, np.arange(4)), images)
    assert corrupted(images, (CLEAN, 0), np.arange(4)) is images


@pytest.mark.parametrize("side", [32, 48])
def test_every_setting_gives_new_images_of_the_same_kind(side: int) -> None:
    images, before = noisy(2, side), noisy(2, side)
    for setting in settings(side):
        spoilt = corrupted(images, setting, np.array([5, 9]))
        assert (spoilt.shape, spoilt.dtype) == (images.shape, images.dtype), setting
        assert np.array_equal(images, before), setting
        assert (setting[0] == CLEAN) == np.array_equal(spoilt, images), setting


def test_the_settings_fit_the_images_and_are_drawn_in_order() -> None:
    assert len(settings(32)) == 28
    assert [severity for _, severity in settings_in_order("rescale", 32)] == [0, 24, 16, 12]
    assert [severity for _, severity in settings_in_order("rescale", 64)] == [0, 48, 32, 24]
    assert [severity for _, severity in settings_in_order("contrast", 32)] == [0.6, 0.8, 0, 1.2, 1.5]
    assert [severity for _, severity in settings_in_order("jpeg", 32)] == [0, 90, 75, 60, 40, 25, 10]
