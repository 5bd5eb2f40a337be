"""Checks users and their groups for Apache."""

USERS = {"alice": "secret"}


def check_password(environ, user, password):
    if user not in USERS:
        return None
    return USERS[user] == password


def groups_for_user(environ, user):
    return ["editors"] if user == "alice" else []
