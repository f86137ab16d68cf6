# Tries everything again, also what nobody may repeat.
import random

from labsupport.shop.client import NoAnswer, NotSent


def call(request, send, clock):
    end = clock.now() + 2.0
    for number in range(4):
        answer, failure = None, None
        try:
            answer = send(request, min(0.5, end - clock.now()))
            again = answer.status in (502, 503, 504)
        except (NotSent, NoAnswer) as error:
            failure, again = error, True
        wait = random.uniform(0, 0.05 * 2**number)
        if not again or number == 3 or clock.now() + wait >= end:
            break
        clock.sleep(wait)
    if failure:
        raise failure
    return answer
