"""Results in, numbers and figures out: a record becomes tables, figures and a report, with pandas.

    results ← figures ← pages ← commands: report, predict, robustness, explain, export, compare
    detector: a network of the record in use

Nothing here trains. TensorFlow and Ray are imported only by commands that run a network, such as `robustness`: whoever
has the record can recompute every other number. `python -m analysis --help` lists the commands.
"""
