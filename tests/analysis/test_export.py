"""`python -m analysis export`: files that agree with the original, and a card that tells of it."""

import json
import re
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from analysis.detector.stored import stored
from support.commands import Command, refused, run_python
from support.detectors import AGE, CODEC, CUSTOM, rows_of, set_in_trials
from trainables.training import metrics
from trainables.training.metrics import best_threshold
from trainables.training.network_file import check

pytestmark = pytest.mark.xdist_group("trained")


def files(exported: Path, network: str, ending: str) -> Path:
    (path,) = (exported / network).glob(f"*{ending}")
    return path


@pytest.mark.parametrize("network", [AGE, CUSTOM])
def test_the_exports_answer_as_the_original_at_any_batch(exported: Path, record: Path, network: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3)).astype(np.float32)
    expected = stored(f"{record}:{network}").network.predict(images, verbose=0)
    assert np.ptp(expected) > 1e-3
    session = onnxruntime.InferenceSession(files(exported, network, ".onnx"), providers=["CPUExecutionProvider"])
    for batch in (images, images[:1]):
        (found,) = session.run(["logit"], {"pixels": batch})
        assert np.allclose(found, expected[: len(batch)], rtol=1e-4, atol=1e-5)
    assert session.get_modelmeta().custom_metadata_map["labels"] == "REAL, FAKE"
    restored = keras.saving.load_model(files(exported, network, ".keras"), compile=False)
    assert np.allclose(np.asarray(restored(images)), expected, rtol=1e-4, atol=1e-5)
    assert not [layer for layer in restored.layers if type(layer).__name__.startswith("Random")]
    check(files(exported, network, ".keras").read_bytes())


@pytest.mark.slow
def test_the_snippets_of_the_model_card_run_as_printed_and_agree_with_predict(
    analysis: Command, exported: Path, place: Path
) -> None:
    shutil.copy(place / "tree" / "test" / "FAKE" / "0001.jpg", exported / AGE / "image.jpg")
    (row,) = rows_of(analysis("predict", f"results/zoo:{AGE}", exported / AGE / "image.jpg"))
    snippets = re.findall(r"```python\n(.*?)```", (exported / AGE / "README.md").read_text(), re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        done = run_python("-c", snippet, cwd=exported / AGE)
        assert done.returncode == 0, done.stderr
        verdict, probability = done.stdout.split()
        assert verdict == row["verdict"]
        assert float(probability) == pytest.approx(float(row["probability_fake"]), abs=2e-4)


def test_the_model_card_tells_what_the_record_tells(exported: Path, record: Path) -> None:
    card, found = (exported / AGE / "README.md").read_text(), stored(f"{record}:{AGE}")
    manifest = json.loads((record / "manifest.json").read_text())
    for told in (found.trial, manifest["data"]["fingerprint"], CODEC, "smoke run", "`learning_rate`: 0.001"):
        assert told in card
    labels, logits = found.scores("test")
    judged = metrics.judge(labels, logits, best_threshold(*found.scores("validation")))
    line = next(line for line in card.splitlines() if line.startswith("| balanced accuracy |"))
    assert f"{judged['balanced_accuracy']:.3f} (" in line.split("|")[3]
    assert "test, n = 240" in card
    assert not re.search(r"\{[{%]|[%}]\}|\bnan\b|None", re.sub(r"```.*?```", "", card, flags=re.DOTALL))


def test_an_export_into_the_record_is_named_after_the_trial(analysis: Command, copy: Path) -> None:
    done = analysis("export", copy)
    assert done.returncode == 0, done.stderr
    found = stored(str(copy))
    name = f"{found.row['network']}-{found.trial}"
    written = [str(copy / "exports" / name / file) for file in (f"{name}.keras", f"{name}.onnx", "README.md")]
    assert done.stdout.splitlines()[:3] == written
    assert all(Path(file).stat().st_size > 1_000 for file in written)
    assert re.search(r"On 64 images .* differ by at most \d\.\de-\d\d in probability", done.stdout)


def test_half_precision_is_refused(analysis: Command, copy: Path) -> None:
    set_in_trials(copy, "precision", "mixed_bfloat16")
    assert "only networks in float32" in refused(analysis("export", copy))
    assert not (copy / "exports").exists()


def test_without_its_packages_export_names_the_extra(analysis: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    told = refused(analysis("export", "results/zoo"))
    assert told == 'Exporting takes tf2onnx; install them with `pip install -e ".[export]"`.'
