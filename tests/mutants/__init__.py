"""Mistakes planted in the code, one at a time: does a test find each?

``python -m tests.mutants`` plants all of :mod:`.planted` and takes minutes; the tests only
see to it that the list fits the code, and plant a few.
"""
