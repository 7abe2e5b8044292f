"""JAX compiles an epoch for an H100 that is not there: so many kernels a step, so much memory."""

import importlib.util
import json
import os
import re
from pathlib import Path

import pytest

from support.commands import PATH_TO_SUPPORT, run_python

#: What XLA asks of a card; from the data sheet and a device query of an H100 SXM with 80 GB.
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84978434048
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""

COMPILED = """
import json, sys
import jax, numpy as np
from jax.experimental import topologies
from support.networks import split_of
from trainables import Recipe
from trainables.training import cost, loop
from trainables.training.pipeline.backend import backend
from trainables.training.selection import Data

card = topologies.get_topology_desc("", "cuda", topology="1x1x1", target_config=sys.argv[1]).devices[0]
place = jax.sharding.SingleDeviceSharding(card)
run = loop.start(Recipe("age-c4-f2"), Data(*(split_of(40, seed) for seed in range(3)), "", is_smoke=True))
run.model._symbolic_build(data_batch=(np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 1), np.float32)))
state = tuple([variable.value for variable in part] for part in backend.training_variables(run.model))
images, labels = np.zeros((90_000, 32, 32, 3), np.uint8), np.zeros((90_000, 1), np.float32)
inputs = state, images, labels, np.zeros((2_812, 32), np.int32), np.zeros(16, np.int32)
shapes = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=place), inputs)
print(json.dumps({
    "program": backend.compiled_epoch(run.model).lower(*shapes).compile().as_text(),
    "stated": backend.stated_bytes(run.model, images, 32, place) - images.nbytes,
    "estimated": cost.training_bytes(cost.cost(run.model), run.recipe),
}))
"""
#: Instructions that run nothing on the card.
IDLE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}


@pytest.mark.slow
@pytest.mark.skipif(
    not importlib.util.find_spec("jax_cuda12_plugin"), reason='needs JAX\'s plugin for CUDA: pip install ".[gpu-test]"'
)
def test_a_step_is_few_kernels_and_takes_the_memory_that_is_reckoned(tmp_path: Path) -> None:
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1"}
    environment |= {"PYTHONPATH": PATH_TO_SUPPORT}
    done = run_python("-c", COMPILED, H100, cwd=tmp_path, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    compiled = json.loads(done.stdout.splitlines()[-1])
    assert 30 < len(instructions(compiled["program"])) <= 70
    assert compiled["estimated"] / 2 < compiled["stated"] < 2 * compiled["estimated"]


def instructions(program: str) -> list[str]:
    """What a step of the loop runs on the card, in XLA's text of a program."""
    (body,) = {line.split("body=%")[1].split(",")[0] for line in program.splitlines() if "body=%" in line}
    lines = program.split(f"\n%{body} ")[1].split("\n}")[0].splitlines()[1:]
    names = [re.findall(r" ([a-z][\w-]*)\(", line.split(" = ", 1)[1])[0] for line in lines]
    return [name for name in names if name not in IDLE]
