# Four tries of half a second, and waits between them: more than the customer has.
import random

from labsupport.shop.client import NoAnswer, NotSent


def call(request, send, clock):
    harmless = bool(request.key) or request.method == "GET"
    for number in range(4):
        answer, failure = None, None
        try:
            answer = send(request, 0.5)
            again = harmless and answer.status in (502, 503, 504)
        except NotSent as error:
            failure, again = error, True
        except NoAnswer as error:
            failure, again = error, harmless
        if not again or number == 3:
            break
        clock.sleep(random.uniform(0.05, 0.1) * 2**number)
    if failure:
        raise failure
    return answer
