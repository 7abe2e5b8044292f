"""The GPU that Keras's backend computes on."""

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    import jax


def use_cpu() -> None:
    """Take the CPU, in a process that has not computed yet and whose CUDA_VISIBLE_DEVICES hides all GPUs."""
    if keras.backend.backend() == "jax":  # which fails if it finds a driver without a GPU
        jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]


def gpus() -> int:
    """How many GPUs the backend sees."""
    try:
        return len(keras.distribution.list_devices("gpu"))
    except RuntimeError as error:  # of JAX
        if "Unknown backend" not in str(error):
            raise
        return 0


def peak_bytes() -> int | None:
    """The most memory of its first GPU that this process has used; None without a GPU."""
    if not gpus():
        return None
    if keras.backend.backend() == "tensorflow":
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return int(jax.local_devices()[0].memory_stats()["peak_bytes_in_use"])
