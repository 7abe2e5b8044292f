"""Results in, numbers and figures out: a record becomes tables, figures and a report, by pandas alone.

    metrics → frames → tables, figures → report

Nothing here trains, asks Ray, or imports TensorFlow: whoever has the record can make every number again.
"""
