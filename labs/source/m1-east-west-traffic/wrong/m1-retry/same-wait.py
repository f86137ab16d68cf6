# All callers come back at the same moments.
from labsupport.shop.client import NoAnswer, NotSent


def call(request, send, clock):
    end = clock.now() + 2.0
    harmless = bool(request.key) or request.method == "GET"
    for number in range(4):
        answer, failure = None, None
        try:
            answer = send(request, min(0.5, end - clock.now()))
            again = harmless and answer.status in (502, 503, 504)
        except NotSent as error:
            failure, again = error, True
        except NoAnswer as error:
            failure, again = error, harmless
        wait = 0.05 * 2**number
        if not again or number == 3 or clock.now() + wait >= end:
            break
        clock.sleep(wait)
    if failure:
        raise failure
    return answer
