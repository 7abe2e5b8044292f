"""The notice that this machine will be taken away: Amazon gives it two minutes before it takes a spot instance back."""

import contextlib
import functools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import requests

_ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"  # Amazon's own name for it
_VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")
_SECONDS_BETWEEN_LOOKS = 5.0
_SECONDS_OF_NOTICE = 110


@functools.cache
def notice() -> threading.Event:
    """An event that is set once this machine has been given notice. Away from Amazon's machines it never is."""
    event = threading.Event()
    if os.environ.get(_ENDPOINT) or (_VENDOR.exists() and "Amazon" in _VENDOR.read_text()):
        endpoint = os.environ.get(_ENDPOINT, "http://169.254.169.254").rstrip("/")
        threading.Thread(target=_watch, args=(endpoint, event), daemon=True).start()
    return event


def leave_to_others() -> None:
    """Have Ray place nothing more on this node."""
    import ray

    context = ray.get_runtime_context()
    words = ["--address", context.gcs_address, "--node-id", context.get_node_id()]
    words += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "the machine is being taken away"]
    words += ["--deadline-remaining-seconds", str(_SECONDS_OF_NOTICE)]
    ray_command = Path(sys.executable).with_name("ray")
    subprocess.run([ray_command, "drain-node", *words], capture_output=True, timeout=60, check=False)


def _watch(endpoint: str, event: threading.Event) -> None:
    while not event.is_set():
        with contextlib.suppress(requests.RequestException):
            if _has_notice(endpoint):
                event.set()
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _has_notice(endpoint: str) -> bool:
    """Ask for `spot/instance-action`, which is not found until there is one."""
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = requests.put(f"{endpoint}/latest/api/token", headers=lifetime, timeout=2).text
    asked = f"{endpoint}/latest/meta-data/spot/instance-action"
    return bool(requests.get(asked, headers={"X-aws-ec2-metadata-token": token}, timeout=2).ok)
