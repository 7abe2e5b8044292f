"""The sweeps: one short file per question."""
