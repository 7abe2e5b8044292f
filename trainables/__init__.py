"""The networks: one table, MODELS, from which the sweeps, the tests and the README derive.

To add a network, write its function in a file of its own, and a line here.
"""

from trainables.training.network import Network
from trainables.training.recipe import Recipe

_CUSTOM = "Sheoran 2025"
_SIMONYAN = "Simonyan & Zisserman 2015, as in Sheoran 2025"
_SGD = {"optimizer": "sgd", "momentum": 0.9}

MODELS: dict[str, Network] = {
    **{
        f"age-{trunk}-{head}": Network(
            "age.age_classifier",
            {"trunk": trunk, "hidden": hidden},
            "Sheoran 2025, after the age classifiers of Aydogdu & Demirci 2017",
        )
        for trunk in ("c2", "c3", "c4")
        for head, hidden in (("f1", ()), ("f2", (512,)), ("f3", (512, 512)), ("f4", (1024, 512, 256)))
    },
    "vgg16": Network("vgg.vgg", {"depth": 16}, _SIMONYAN),
    "vgg19": Network("vgg.vgg", {"depth": 19}, _SIMONYAN),
    "resnet50": Network("resnet.resnet50", {}, "He et al. 2016, with a stem for small images"),
    "densenet121": Network("densenet.densenet121", {}, "Huang et al. 2017, with a stem for small images"),
    "custom-1": Network("custom.custom_1", {}, _CUSTOM),
    "custom-2": Network("custom.custom_2", {}, _CUSTOM),
    "custom-3": Network(
        "custom.custom_3",
        {},
        _CUSTOM,
        recipe={"epochs": 20, "schedule": "plateau", "plateau_epochs": 3, "early_stopping_epochs": 10},
    ),
    "cifake-cnn": Network("cifake_cnn.cifake_cnn", {}, "Bird & Lotfi 2024"),
    "vgg16-transfer": Network("transfer.transfer", {"body": "vgg16"}, _SIMONYAN, _SGD),
    "vgg19-transfer": Network("transfer.transfer", {"body": "vgg19"}, _SIMONYAN, _SGD),
    "resnet50-transfer": Network(
        "transfer.transfer",
        {"body": "resnet50", "train_from": "conv4_block1", "hidden": (512,)},  # the eighth residual block
        "He et al. 2016, as in Sheoran 2025",
    ),
    "densenet121-transfer": Network(
        "transfer.transfer", {"body": "densenet121"}, "Huang et al. 2017, as in Sheoran 2025"
    ),
}

__all__ = ["MODELS", "Network", "Recipe"]
