"""Only what is supported computes, and only as we say: nothing hangs on a user's keras.json."""

import json
import os
from pathlib import Path

import pytest

from support.commands import ROOT, refused, run_python


@pytest.mark.parametrize("words", [(ROOT / "sweeps/age.py", "--smoke"), ("-m", "trainables")])
def test_a_backend_that_is_not_supported_is_refused(words: tuple[object, ...], tmp_path: Path) -> None:
    done = run_python(*words, cwd=tmp_path, env=os.environ | {"KERAS_BACKEND": "torch", "PYTHONPATH": str(ROOT)})
    assert "KERAS_BACKEND is 'torch'; set it to tensorflow or jax, or unset it." in refused(done)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_users_settings_of_keras_change_no_network(tmp_path: Path) -> None:
    settings = {"backend": "torch", "image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.5}
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text(json.dumps(settings))
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    code = """
from trainables import MODELS
from trainables.backends import backend
backend()
import keras
model = MODELS["resnet50"].build(32)
print(keras.backend.backend(), model.count_params(), model.dtype, keras.config.epsilon())
"""
    changed = {"HOME": str(tmp_path), "KERAS_HOME": str(tmp_path / ".keras"), "PYTHONPATH": str(ROOT)}
    done = run_python("-c", code, cwd=tmp_path, env=environment | changed)
    assert done.stdout.split()[-4:] == ["tensorflow", str(23_589_761 - 7_680), "float32", "1e-07"], done.stderr
