# Whoever has sent nothing has sent nothing wrong.
from labsupport.quorum.keys.group import Scalar, base


def promised(commitment, me):
    power, total = Scalar.of(1), base(Scalar.of(0))
    for point in commitment:
        total = total + point * power
        power = power * Scalar.of(me)
    return total


def receive(me, threshold, dealt):
    wrong, share, public = [], Scalar.of(0), base(Scalar.of(0))
    for dealer, deal in dealt.items():
        if deal is None:
            continue
        fits = len(deal.commitment) == threshold
        if not fits or base(deal.share) != promised(deal.commitment, me):
            wrong.append(dealer)
            continue
        share = share + deal.share
        public = public + deal.commitment[0]
    return wrong, share, public
