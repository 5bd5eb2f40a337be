"""Users and groups for Apache's authentication; a real site asks its database.

Loaded by mod_wsgi_rs in the main interpreter of a daemon or an Apache child; called on any request
thread. Whoever may read this file knows the hashes.
"""

import hashlib
import hmac

# name: (salt, scrypt hash of the password, groups). Made by
#   hashlib.scrypt(password.encode(), salt=salt.encode(), n=16384, r=8, p=1).hex()
USERS = {
    "eric": (
        "a salt",
        "0562d853eb6fb86ebfc540f9e426e602343a6a3d55c189255d110bfb8760ca1b"
        "275ce4a6c4fc598d899cace5edb9d33dcbdbcc424458ba2fd44617723656cc9c",
        ("staff",),
    ),
    "terry": (
        "another salt",
        "f31de06108be6084e63dae23ba4bda9662855b744079bfe5dfea7c6d701c3fd0"
        "6a8ca377f52699c538f0525a74be10219af7c7ac8f71cdbae3ce9f53cbefd7b2",
        (),
    ),
}


def check_password(environ, user, password):
    """Answer True for the right password, False for a wrong one, None for an unknown user."""
    if user not in USERS:
        return None
    salt, known, _ = USERS[user]
    # Header values are bytes as Latin-1 characters; browsers send UTF-8.
    secret = password.encode("latin-1")
    found = hashlib.scrypt(secret, salt=salt.encode(), n=16384, r=8, p=1).hex()
    return hmac.compare_digest(known, found)


def groups_for_user(environ, user):
    """Answer the names of the user's groups, for `Require wsgi-group`."""
    return USERS[user][2] if user in USERS else ()
