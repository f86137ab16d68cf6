# Believes those whom browsers believe, and not the shop's authority.
import ssl


def trust(authority):
    return ssl.create_default_context()
