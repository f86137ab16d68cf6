"""A stock Debian in a virtual machine without a network: what a learner's laptop does that nobody prepared.

`python -m tests.vm --debian 12` makes the machine once (image.py), gives it this clone and the cached programs
(share.py), boots it (guest.py), lets an ordinary user walk from `make up` to `labs down` (inside/walk.py) and says what
held (report.py).
"""
