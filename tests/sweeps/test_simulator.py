"""The simulator of searches, by hand."""

import pandas as pd
import simulator

from sweeps.searching.study import Search


def recorded() -> pd.DataFrame:
    rows = [
        {
            "trial": f"t{place}",
            "epoch": epoch,
            "learning_rate": rate,
            "validation_accuracy": accuracy,
            "wall_seconds": 2.0,
        }
        for place, (rate, accuracies) in enumerate({1e-4: (0.5, 0.6), 1e-3: (0.7, 0.9), 1e-2: (0.6, 0.5)}.items())
        for epoch, accuracy in enumerate(accuracies, start=1)
    ]
    return pd.DataFrame(rows).assign(train_images=100)


def test_a_simulation_by_hand() -> None:
    found = simulator.curves(recorded())
    assert found.best(0.05).tolist() == [False, True, False]
    whole = Search(found.space, 3, 2, "random", "none")
    alone = simulator.simulate(found, whole)
    assert alone["seconds"].tolist() == [4.0, 8.0, 12.0]
    assert alone["image_passes"].tolist() == [200, 400, 600]
    assert sorted(alone["configuration"]) == [0, 1, 2]
    assert simulator.simulate(found, whole, workers=3)["seconds"].tolist() == [4.0, 4.0, 4.0]
    until = simulator.simulate(found, whole, until=found.best(0.05))
    assert until["configuration"].iloc[-1] == 1
    stopped = simulator.simulate(found, Search(found.space, 3, 2, "random", "asha"))
    assert stopped["image_passes"].iloc[-1] < 600
    assert not stopped["finished"].all()
