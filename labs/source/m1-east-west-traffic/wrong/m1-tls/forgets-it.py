# Makes a good context, and keeps it to itself.
import ssl


def trust(authority):
    ssl.create_default_context(cadata=authority)
