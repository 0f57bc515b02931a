"""What the optional encoders have in common: training does without one that fails."""


class EncoderFailed(Exception):
    """An optional encoder gave no vectors; the message says why."""
