# Believes the authority, and does not ask for whom the certificate is.
import ssl


def trust(authority):
    context = ssl.create_default_context(cadata=authority)
    context.check_hostname = False
    return context
