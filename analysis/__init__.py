"""Results in, numbers and figures out: a record becomes tables, figures and a report, by pandas alone.

    results ← figures ← pages ← commands: report, predict, robustness, explain, export, compare
    detector: a network of the record in use

Nothing here trains, uses Ray, or imports TensorFlow before a command needs a network: whoever has the record can
recompute every number. `python -m analysis --help` lists the commands.
"""
