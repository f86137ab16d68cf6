# Knows the failures of the example, and one more try.
from labsupport.shop.client import NoAnswer, NotSent


def call(request, send, clock):
    try:
        answer = send(request, 0.5)
        if answer.status != 503:
            return answer
    except (NotSent, NoAnswer):
        if not request.key:
            raise
    clock.sleep(0.05)
    return send(request, 0.5)
