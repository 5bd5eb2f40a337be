"""A module of the application."""
ANSWER = "first"
