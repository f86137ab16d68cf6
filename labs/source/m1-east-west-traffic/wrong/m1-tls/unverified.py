# Loads the authority, and asks for nobody's certificate.
import ssl


def trust(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
