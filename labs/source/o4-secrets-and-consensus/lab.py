# %% [markdown]
# # Day two: secrets and consensus
#
# Some applications cannot be run by a Deployment and a Service. The article that this course follows names what they
# need: **secrets from a distributed key generation protocol**, **a leader by consensus** when another one fails. In
# this lab there is such an application, and an operator that runs it. You look at both from the inside, write two of
# the decisions on which they rest, and then see who is right when members lie.

# %%
from labsupport.course import lab
from labsupport.course.lessons import cheating, fronts, quorums, signers

lab.start("o4")

# %% [markdown]
# ## A Quorum
#
# The lab has made an object of the kind `Quorum`. Its operator made everything else: a StatefulSet, two Services, a
# certificate for each member, and a good deal that no Kubernetes object can express.

# %%
# !labs kubectl -n {lab.namespace} get quorum,pods,services

# %%
quorums.members(lab.world)

# %% [markdown]
# Three members hold a small store together. One of them leads: by **Raft**, a protocol in which a leader is elected
# for a **term**, with the votes of more than half. A write is confirmed when more than half have it on their disks.

# %%
quorum = quorums.Quorum(lab.world)
quorum.put("tea", "5 left")

# %%
quorum.get("tea")

# %% [markdown]
# They can do another thing together: sign.

# %%
signed = quorum.sign("500 for tea, from the shop")
signed

# %% [markdown]
# Two members have taken part, and the result is one ordinary Ed25519 signature. Any library verifies it, and none can
# tell that there was more than one signer:

# %%
public_key, signature = (bytes.fromhex(signed[part]) for part in ("public_key", "signature"))
signers.verifies(public_key, signature, b"500 for tea, from the shop")

# %%
signers.verifies(public_key, signature, b"900 for tea, from the shop")

# %% [markdown]
# **No member has the private key to this public key, and none ever had.** Nobody can steal it from a disk, from a
# back-up, or from the operator, since it has never been in one place. How can that be?
#
# ## A secret in pieces
#
# Think of a line through the plane. One point of it says nothing about where it crosses the axis at 0; two points say
# everything. That is a secret of which any two of three members know all, and one knows nothing: the line is the
# polynomial $f(x) = a_0 + a_1 x$, the secret is $f(0) = a_0$, and member $i$ gets the **share** $f(i)$. With a
# threshold of three it is a parabola, and so on: as many coefficients as the threshold.
#
# But who draws the line? Whoever does knows the secret. So *each* member draws one of its own, and gives each of the
# others a share of it. The key is the **sum** of all the secrets, which nobody ever adds up; a member's share of the
# key is the sum of the shares that it was dealt, since the sum of polynomials is a polynomial again. Each member knows
# one of the summands. As long as one of them keeps its own to itself, the sum is secret.
#
# And if a dealer lies, and sends shares that are on no common line? Then the members would find out months later, when
# they cannot sign. So a dealer shows something more to all: each coefficient **times the generator** of a group, a
# point of an elliptic curve. From such a point nobody finds the number. But points can be added, and multiplied by
# numbers:

# %%
from labsupport.quorum.keys.group import Scalar, base

line = [Scalar.of(1234), Scalar.of(77)]  # a line: its secret is 1234
commitment = [base(each) for each in line]  # what is shown to all
share = Scalar.of(1234 + 77 * 3)  # what member 3 is sent
print(base(share) == commitment[0] + commitment[1] * Scalar.of(3))

# %%
print(base(share + Scalar.of(1)) == commitment[0] + commitment[1] * Scalar.of(3))

# %% [markdown]
# `base(s)` is a number times the generator. `Scalar.of` makes a number of the group from one of Python's. Sums begin
# with `Scalar.of(0)`, and sums of points with `base(Scalar.of(0))`, which is to points what zero is to numbers. This is
# **Feldman's check**: member 3 can tell a right share from a wrong one, and has learnt nothing of the secret.
#
# ## Your turn: `o4-ceremony`
#
# **You are a member in the ceremony. Write `receive(me, threshold, dealt)`.**
#
# - `me` is your number (1, 2, ...), `threshold` how many will be needed to sign.
# - `dealt` is a dictionary: for each dealer's number what it has sent, or `None` if it has sent nothing.
#   `dealt[2].commitment` is a tuple of points, the one of $a_0$ first; `dealt[2].share` is your share.
# - Return three values: the list of the dealers that have not dealt rightly, your share of the key, and the public
#   key, which belongs to the sum of the secrets. Whoever is named does not count, neither here nor there.
#
# A commitment must be to a polynomial that fits the threshold: to one with exactly so many coefficients. The check runs
# it on ceremonies of three, five and seven members.

# %% exercise="o4-ceremony"
from labsupport.quorum.keys.group import Scalar, base


### BEGIN SOLUTION: # YOUR FUNCTION HERE: def receive(me, threshold, dealt): ...
def promised(commitment, me):
    """The point of the share that a commitment promises to a member."""
    power, total = Scalar.of(1), base(Scalar.of(0))
    for point in commitment:
        total = total + point * power
        power = power * Scalar.of(me)
    return total


def receive(me, threshold, dealt):
    wrong, share, public = [], Scalar.of(0), base(Scalar.of(0))
    for dealer, deal in dealt.items():
        fits = deal is not None and len(deal.commitment) == threshold
        if not fits or base(deal.share) != promised(deal.commitment, me):
            wrong.append(dealer)
            continue
        share = share + deal.share
        public = public + deal.commitment[0]
    return wrong, share, public


### END SOLUTION

# %%
lab.check("o4-ceremony")

# %% [markdown]
# ## Who can sign
#
# In the Quorum of this lab, two of three sign. Larger ones exist. This cell has five members hold a whole ceremony in
# this notebook, with the very code that runs in the Pods: they deal, they say which shares are wrong, they add up. The
# threshold is 3.

# %%
keys = signers.ceremony(members=5, threshold=3)
keys[1]

# %% [markdown]
# That is what member 1 has at the end: its share, which does not show itself, and what everybody may know.
#
# ## Your turn: `o4-sets`
#
# Of five members one can form 32 different sets, the empty one and all five among them. **How many of these sets can
# sign?** Commit a number before you try.

# %% exercise="o4-sets"
### BEGIN SOLUTION: lab.predict("o4-sets", ...)
lab.predict("o4-sets", 16)
### END SOLUTION

# %%
lab.check("o4-sets")

# %% [markdown]
# Now try all of them. Members that are too few would refuse; these here are told to go on all the same, and what comes
# of it is verified with the public key:

# %%
signers.table(keys)

# %% [markdown]
# Two members that ignore the rules do get a signature: of some other key. So much for the rule's being kept by
# arithmetic, not by obedience.
#
# The table can be read from the other side as well. A set that is *stolen* signs as well as one that is honest, so the
# thief needs three. And if three members are lost for good, two are left, and nothing will ever be signed with this key
# again: not by the operator, not by you. There is no back door, since nobody has built one in. This is the price.

# %% [markdown]
# ## When a member lies
#
# So one or two thieves get nothing. But a thief that sits in a member can do something else: lie. In the ceremony and
# in each signature, members send each other numbers, and any of these may be wrong. A wrong one must do no harm, and
# there is a second demand that is harder:
# **all honest members must come to the same verdict about who it was**, or they would leave out different ones.
#
# Back to the cluster. We corrupt a member there: it is started with a program that adds one to each of its parts of
# signatures.

# %%
cheating.corrupt(lab)

# %%
cheating.caught(lab)

# %% [markdown]
# The signature came about all the same, with the other members, and the cheat is named with evidence that each member
# has checked. Its operator says so as well, and has new shares dealt of which the cheat gets none:

# %%
cheating.await_said(lab.world, "MemberBlamed")
quorums.conditions(lab.world)

# %% [markdown]
# What would an administrator do? Replace it. A member is its volume; with another volume it is another member, which
# has to be taken in and to be dealt a share of the *same* key:

# %%
cheating.replace(lab)

# %% [markdown]
# ## Your turn: `o4-cheat`
#
# Here are the minutes of a ceremony of five members with the threshold 3. All have dealt, as in your first exercise;
# then everybody said which shares are wrong. Whoever complains opens the share that it got, for all to see:

# %%
print(lab.read("start/minutes.yaml"))

# %% [markdown]
# Each complaint makes a cheat of somebody: of the dealer, if the share is wrong, or else of whoever complains, for an
# honest dealer is to be thrown out. They are in the ConfigMap `minutes`. In this form they can be computed with:

# %%
import json

from labsupport import kube
from labsupport.quorum.keys.group import Point, Scalar, base

minutes = kube.get(lab.api, "v1", "ConfigMap", "minutes", lab.namespace)["data"]
complaints = json.loads(minutes["complaints.json"])
commitments = {
    int(dealer): [Point.decode(bytes.fromhex(point)) for point in points]
    for dealer, points in json.loads(minutes["commitments.json"]).items()
}
opened = Scalar.decode(bytes.fromhex(complaints[0]["opened"]))
complaints[0]["by"], complaints[0]["about"], base(opened)

# %% [markdown]
# **Who cheated, and how?** Give a dictionary: for the number of each cheat `"wrong share"` or `"false complaint"`.

# %% exercise="o4-cheat"
### BEGIN SOLUTION: cheats = ...
cheats = {2: "false complaint", 4: "wrong share"}
### END SOLUTION

# %%
lab.check("o4-cheat")

# %% [markdown]
# ## Who leads
#
# The store's writes go to the leader, so clients need to find it. There is a Service for that,
# `q-leader`, and it has something unusual: no selector. No label tells who leads.

# %%
# !labs kubectl -n {lab.namespace} get service q-leader -o jsonpath={{.spec.selector}}

# %%
# !labs kubectl -n {lab.namespace} get endpointslice -l kubernetes.io/service-name=q-leader

# %% [markdown]
# A Service without a selector leads to whatever stands in EndpointSlices with its name, and somebody has to write
# these: here the operator does. It asks each member what it knows, and draws its conclusion. What each of them says is
# what you saw in the first table:
#
# - its **role**: leader, follower or candidate (it asks for votes);
# - the **term** that it is in, and whom it takes for the **leader** in that term, if it knows of one;
# - how many have a vote, and how many of these it **reaches**, itself among them.
#
# It would be easy if they all told the same. But the operator asks at a bad moment: when a leader has gone. A leader
# that is cut off from the others goes on to believe in itself for a while. A member may have heard of an election that
# others have not heard of. Some do not answer. Raft's rules make it possible to find out all the same:
#
# - A term has at most one leader, who was elected by more than half of the voters.
# - A member never goes back to an older term. Whoever was elected in a newer term has **deposed** all before.
# - A candidate begins a new term on its own and asks for votes in it. That deposes nobody, until it is elected.
# - A leader that does not reach more than half of the voters can confirm nothing.
#
# ## Your turn: `o4-failover`
#
# **Write `leads(answers)`: the name of the member that leads, or `None` if nobody may be written to at present.**
#
# `answers` is a list with what each member has said *last*: `name`, `age` (seconds since it said so), `role`, `term`,
# `leader` (a name, or `""`), `voters` and `reaches`. Members that have never answered are missing.
#
# - An answer that is older than `FRESH` seconds says nothing any more about what its member is now. But it is no lie:
#   it was so.
# - Name a member only if it has said itself, freshly, that it leads.
#
# Here is a situation to begin with: `q-1` was cut off for a second, and does not know yet what happened without it.

# %%
from labsupport.operators.member_answer import Answer

example = [
    Answer("q-1", age=0.1, role="leader", term=7, leader="q-1", voters=3, reaches=2),
    Answer("q-2", age=0.2, role="leader", term=8, leader="q-2", voters=3, reaches=2),
    Answer("q-0", age=0.1, role="follower", term=8, leader="q-2", voters=3, reaches=3),
]
example

# %% [markdown]
# Your function is then deployed. The program around it (`labsupport/operators/failover.py`) asks the members four times
# a second, and lets the Service `front` lead to whom you name, or to nobody. The check calls `leads` on situations that
# you do not see. Then it writes by way of `front`, one key after the other, and kills the leader.

# %% exercise="o4-failover"
FRESH = 2.0  # seconds


### BEGIN SOLUTION: # YOUR FUNCTION HERE; then lab.deploy(leads, host="failover", name="front")
def leads(answers):
    elected = [
        each.term for each in answers if each.leader
    ]  # each proves that somebody was, whenever it was said
    for each in answers:
        newest = each.role == "leader" and each.term == max(elected)
        if newest and each.age <= FRESH and each.reaches * 2 > each.voters:
            return each.name
    return None


lab.deploy(leads, host="failover", name="front")
### END SOLUTION

# %%
lab.check("o4-failover")

# %% [markdown]
# Kill the leader once more, and look over the shoulder of somebody who writes. Each attempt is a new connection to
# `front`:

# %%
fronts.failover(lab)

# %% [markdown]
# While nobody leads, the writer is refused, and tries again. No write was lost: a write that was attempted twice is
# done once, as it has a number, by which the store knows it. And nobody had to do anything. The members elected another
# leader among themselves, the Pod came back with its volume, and your program has moved the Service.
#
# Ask now for what was written before the first leader died:

# %%
quorum.get("tea")

# %% [markdown]
# ## If too many are gone
#
# One of three may be missing. With two missing nothing is confirmed and nothing is signed, whoever asks, and the
# operator does **nothing**, and says so (`Available: False, NoQuorum`). It could delete the two Pods' volumes and begin
# anew with the one that is left. But what if the two are only cut off, and confirm writes among themselves? Whoever
# cannot tell must wait. Each member still tells what it has, if one asks for no more than that, without a guarantee
# that nothing newer exists:

# %%
quorum.get("tea", stale=True, only="q-2")

# %%
lab.progress()

# %% [markdown]
# ## What you can now explain
#
# - How members make a key that none of them has: each deals a secret, and nobody adds them up.
# - How a member checks a share without knowing the secret, and why a complaint can be judged by everybody.
# - What a threshold protects from, on both sides: how many must be stolen, how many may be lost.
# - Why the result is an ordinary signature.
# - Who leads after a failure: why terms decide and not who says so, and why half is not enough.
# - Why a Service for a leader has no selector, and what an operator does that a Deployment cannot.
# - When an operator must do nothing.
