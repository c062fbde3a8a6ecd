"""Acceptance of the networks: what their int8 files must reach, measured through the real runtime.

The rule kept here: a figure that misses its bound is named and decides the exit code.
"""
