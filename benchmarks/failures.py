"""The one exception of the benchmarks: something is missing or broke, told in one sentence."""


class BenchmarkError(Exception):
    """Something is missing or broke; the text is one sentence for the person at the terminal."""
