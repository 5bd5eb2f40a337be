"""A Django application with one model, so that there is a migration of our own."""
