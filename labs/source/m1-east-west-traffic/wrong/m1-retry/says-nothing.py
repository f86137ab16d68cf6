# Calls, and keeps the answer to itself.
def call(request, send, clock):
    send(request, 0.5)
