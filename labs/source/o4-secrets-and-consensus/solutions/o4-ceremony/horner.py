# Horner's rule from the last point to the first, and the sums over what is left in the end.
from functools import reduce

from labsupport.quorum.keys.group import Scalar, base


def receive(me, threshold, dealt):
    x = Scalar.of(me)

    def right(deal):
        if deal is None or len(deal.commitment) != threshold:
            return False
        return base(deal.share) == reduce(
            lambda value, point: value * x + point, deal.commitment[::-1], base(Scalar.of(0))
        )

    good = {dealer: deal for dealer, deal in dealt.items() if right(deal)}
    share = reduce(lambda total, deal: total + deal.share, good.values(), Scalar.of(0))
    public = reduce(lambda total, deal: total + deal.commitment[0], good.values(), base(Scalar.of(0)))
    return sorted(set(dealt) - set(good)), share, public
