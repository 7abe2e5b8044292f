"""Which of the twelve age-classifier networks tells real images from generated ones best?

Three trunks of 2, 3 or 4 convolutions under four heads of 1 to 4 dense layers, each trained from fresh weights with the
study's recipe: Adam at 1e-3, batches of 32, 10 epochs.

    python sweeps/age.py                                     the embedded sample
    python sweeps/age.py --data shards/cifake --seeds 3      CIFAKE, with error bars
"""

from sweeps.engine.options import Options
from sweeps.engine.run import main
from sweeps.engine.sweep import FixedList, Sweep
from trainables import MODELS


def age(options: Options) -> Sweep:
    """Train the twelve age-classifier networks side by side."""
    networks = [name for name in MODELS if name.startswith("age-")]
    return Sweep(
        name="age",
        question="Which of twelve networks, designed to tell people's age, tells real images from generated ones best?",
        strategy=FixedList([options.recipe(name, **each) for each in options.replicates() for name in networks]),
    )


if __name__ == "__main__":
    main(age)
