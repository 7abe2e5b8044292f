"""Linear probes: what they see, and what they do not."""

import numpy as np

from trainables.training import probes
from trainables.training.selection import Data, Split


def probed(fake: str) -> dict[str, float]:
    """What each probe reaches on test where FAKE is noise that is `redder`, `coarser` or no other than REAL."""

    def split(images: int, seed: int) -> Split:
        generator = np.random.default_rng(seed)
        labels = (np.arange(images) % 2).astype(np.int8)
        pixels = generator.normal(128, 20, (images, 32, 32, 3))
        if fake == "redder":
            pixels[labels == 1, ..., 0] += 10
        if fake == "coarser":  # each pixel four times; mean and deviation are as before
            pixels[labels == 1] = pixels[labels == 1, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)
        rows = np.arange(images, dtype=np.int32)
        return Split(np.clip(pixels, 0, 255).astype(np.uint8), labels, rows, rows % 5 == 0)

    found = probes.probe(Data(split(400, 0), split(100, 1), split(300, 2), ""))
    assert found["train_images"] == 400
    assert set(found["both"]) == {"validation_accuracy", "test_accuracy", "test_clean_accuracy"}
    return {probe: found[probe]["test_accuracy"] for probe in ("colour", "spectrum", "both")}


def test_a_probe_sees_what_it_looks_at() -> None:
    redder, coarser, nothing = map(probed, ("redder", "coarser", ""))
    assert redder["colour"] > 0.99
    assert coarser["spectrum"] > 0.99
    assert min(redder["both"], coarser["both"]) > 0.99
    assert max(coarser["colour"], *nothing.values()) < 0.65


def test_the_spectrum_of_a_wave_stands_in_its_ring() -> None:
    wave = 128 + 100 * np.sin(2 * np.pi * 4 * np.arange(32) / 32)  # 4 of 32 cycles: 0.125 a pixel, the fifth ring
    images = np.broadcast_to(wave[None, None, :, None], (1, 32, 32, 3)).astype(np.uint8)
    spectrum = probes.spectra(images)
    assert spectrum.shape == (1, 16)
    assert spectrum[0].argmax() in (0, 4)  # the first holds the mean
    assert spectrum[0, 1:].argmax() == 3
