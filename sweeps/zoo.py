"""Which architecture tells real images from generated ones best, on equal terms?

Every family beside the best age network of the study, on the same data, with the same validation and metrics, each with
its own published recipe. VGG without batch norm is expected to collapse at Adam's 1e-3; it is then flagged, not ranked.

    python sweeps/zoo.py --data shards/cifake --limit 8000 --epochs 2
    python sweeps/zoo.py --models vgg16,custom-3
"""

from dataclasses import dataclass

from sweeps.engine.options import Options, listed, option
from sweeps.engine.run import main
from sweeps.engine.sweep import FixedList, Sweep
from trainables import MODELS

_BEST_AGE = "age-c4-f3"  # four convolutions and [512, 512]: the study's best


@dataclass(frozen=True, kw_only=True)
class ZooOptions(Options):
    """What a user asked of the zoo."""

    models: str | None = option(
        "Names that `python -m trainables` lists, separated by commas; by default all, of the age networks the best."
    )


def zoo(options: ZooOptions) -> Sweep:
    """Train every family of networks side by side, on equal terms."""
    families = [name for name in MODELS if not name.startswith("age-") or name == _BEST_AGE]
    chosen = families if options.models is None else listed(options.models)
    return Sweep(
        name="zoo",
        question="Which architecture tells real images from generated ones best, on equal terms?",
        strategy=FixedList([options.recipe(name, **each) for each in options.replicates() for name in chosen]),
    )


if __name__ == "__main__":
    main(zoo)
