"""Preemption notice: Amazon announces two minutes ahead that it takes a spot instance back."""

import contextlib
import functools
import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import requests

_ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"  # Amazon's own name for it
_VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")
_SECONDS_BETWEEN_POLLS = 5.0
_SECONDS_OF_NOTICE = 110


@functools.cache
def notice() -> threading.Event:
    """An event that is set once this machine has been given notice; never set away from Amazon's machines."""
    event = threading.Event()
    if os.environ.get(_ENDPOINT) or (_VENDOR.exists() and "Amazon" in _VENDOR.read_text()):
        endpoint = os.environ.get(_ENDPOINT, "http://169.254.169.254").rstrip("/")
        threading.Thread(target=_poll, args=(endpoint, event), daemon=True).start()
    return event


def refuse_more_work() -> None:
    """Have Ray place nothing more on this node."""
    import ray

    context = ray.get_runtime_context()
    arguments = {
        "--address": context.gcs_address,
        "--node-id": context.get_node_id(),
        "--reason": "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message": "the machine is being taken away",
        "--deadline-remaining-seconds": str(_SECONDS_OF_NOTICE),
    }
    command = [Path(sys.executable).with_name("ray"), "drain-node", *itertools.chain(*arguments.items())]
    subprocess.run(command, capture_output=True, timeout=60, check=False)


def _poll(endpoint: str, event: threading.Event) -> None:
    """Ask for `spot/instance-action`, which is not found until there is one, and set the event then."""
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    action = f"{endpoint}/latest/meta-data/spot/instance-action"
    while not event.is_set():
        with contextlib.suppress(requests.RequestException):
            token = requests.put(f"{endpoint}/latest/api/token", headers=lifetime, timeout=2).text
            if requests.get(action, headers={"X-aws-ec2-metadata-token": token}, timeout=2).ok:
                event.set()
        time.sleep(_SECONDS_BETWEEN_POLLS)
