"""Defines no application."""
