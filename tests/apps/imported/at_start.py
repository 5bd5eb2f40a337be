"""Loaded by WSGIImportScript; leaves a mark in its interpreter."""
import sys

sys.left_by_import = "loaded"
