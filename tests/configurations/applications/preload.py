"""Imports at the start of a process what a first request would wait for."""
import json  # noqa: F401
import sys

sys.preloaded = True
