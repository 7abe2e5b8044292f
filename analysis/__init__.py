"""Results in, numbers and figures out: a record becomes tables, figures and a report, by pandas alone.

    metrics, uncertainty → frames, judged → tables, figures → report

Nothing of this trains, asks Ray, or imports TensorFlow: whoever has the record can make every number again. Beside it
stand the commands that use a record's networks: robustness, explain, predict, export; and compare, of two records.
"""
