# %% [markdown]
# # Day two: the ordered upgrade
#
# Installing a system is day one. From day two on it is changed while others use it. For a Deployment that is no great
# matter: its Pods are alike, and one more or less is not noticed. For a replicated store it is. One of its members
# leads, each has a vote, a volume, and a share of a key, and they speak a protocol with each other that changes from
# release to release. Here is such a store, the Quorum of lab O4, in its oldest release:

# %%
from labsupport.course import lab
from labsupport.course.lessons import backups, quorums, upgrades

lab.start("o5")

# %%
quorums.members(lab.world)

# %% [markdown]
# ## Two versions of everything
#
# While an upgrade is under way, members of two releases work together, for seconds or for days. So before one asks for
# an order, one asks whether they can talk at all. That is what the version of the protocol is for:

# %%
upgrades.releases()

# %% [markdown]
# Two members use the highest version that both of them speak. And what the Quorum *as a whole* may use is written
# down by the members themselves, in their log: it is raised once all of them speak the next version, and **it is
# never lowered**, since what was written in a new form, an old member could not read.
#
# Your Quorum is of release 1.0, so the protocol in its log is 1. Somebody wants release 2.0, at once.
#
# ## Your turn: `o5-jump`
#
# **What will happen?** Commit to one of these before you run it:
#
# - `"all three"`: all members become 2.0, the followers first, the leader last
# - `"one, and back"`: one member becomes 2.0, does not get well, and is made 1.0 again
# - `"none"`: no member is touched, and the Quorum's conditions say why
# - `"refused"`: the API server does not store the change

# %% exercise="o5-jump"
### BEGIN SOLUTION: lab.predict("o5-jump", ...)
lab.predict("o5-jump", "none")
### END SOLUTION

# %%
lab.check("o5-jump")

# %% [markdown]
# Now see:

# %%
upgrades.wish(lab, "2.0")

# %%
lab.check("o5-jump")

# %% [markdown]
# A member of 2.0 begins with protocol 2, and the others speak nothing but 1: it would be alone. The operator knows
# that from two numbers, so it does not try. The message even says which way there is. Take the wish back:

# %%
upgrades.wish(lab, "1.0")

# %% [markdown]
# Each release speaks the protocols of the one before it: that is the price which the *authors* of such a system pay,
# and it is why upgrades go one release at a time. Kubernetes itself is made so (its version skew policy), and so are
# etcd and most databases.
#
# ## What a StatefulSet would do
#
# The order is next. Kubernetes has one: a StatefulSet with `updateStrategy: RollingUpdate` goes from the highest
# ordinal to the lowest, and waits after each until its Pod is ready. It knows Pods. It does not know who leads.
#
# The Quorum's operator uses `OnDelete`, so that Kubernetes restarts nobody, and orders the restarts itself. In this
# lab, **you** are that part of it. Your Quorum carries an annotation, `quorum.labs.example/upgraded-by: upgrader`, by
# which the operator leaves upgrades to the program of that name. That program is a small host around a function of
# yours (`labsupport/operators/upgrader.py`). It looks at the members twice a second, asks your function, and does the
# step that it answers. Four steps are there (`labsupport/operators/fleet.py`):
#
# | Step | Means |
# |---|---|
# | `Change(name)` | delete that member's Pod; another is made, of the wanted release. The host waits until it is well |
# | `HandOver(name)` | leadership goes to that member, without an election |
# | `Wait()` | nothing now |
# | `Done()` | the upgrade is over |
#
# This is the order of a StatefulSet as such a function:

# %%
from labsupport.operators.fleet import Change, Done, Wait


def by_ordinal(members, wanted):
    """Highest ordinal first, each until it is well: what a StatefulSet does."""
    if any(each.trouble for each in members):
        return Wait()
    for each in reversed(members):
        if each.release != wanted:
            return Change(each.name)
    return Done()


plain = lab.deploy(by_ordinal, host="upgrader", name="upgrader")
plain

# %% [markdown]
# Have it make an upgrade, while a client writes ten times a second:

# %%
upgrades.go(lab, "1.1")

# %% [markdown]
# Find the lines in which a member *becomes* 1.1, and who led at that moment. Sooner or later the leader's turn comes,
# often more than once, since whoever is elected in its place may be next. Each time nobody leads until the others
# have noticed (they wait for a heartbeat that does not come), and have voted. The longest time without a confirmed
# write is in the title.
#
# Nothing was lost: that is the work of Raft, not of the order. But each client has waited, and on a bad day (five
# members, a long log, a slow disk) there is more of it. It need not be: **a leader that knows it will go can hand over
# first**, and its successor begins at once.
#
# That is enough of the plain order.

# %%
plain.stop()

# %% [markdown]
# ## Your turn: `o5-order`
#
# **Write `next_step(members, wanted)`: which step is next?** `members` is a list of records with `name`, `release`
# (`""` for a member that has no Pod at the moment, since it is being made anew), `leads`, and `trouble` (why it is not
# well; `""` if it is). `wanted` is the release.
#
# - **At most one member is away at a time**, for whatever reason. While another one is not well, nobody is changed, and
#   nobody hands over.
# - A member of another release than the wanted one that is *down anyway* costs nobody anything. It is next, if all
#   others are well: it may be down for a reason that the new release mends, so do not wait for it.
# - **The leader comes last**, and never as leader: when nobody else is left, it hands over to a member that is well.
# - While nobody leads, do nothing: who is well is known from the leader.
# - `Done()` if all are of the wanted release, and well. Otherwise, if there is something to be done, do it: what you
#   wait for must be able to come by itself.
#
# Keep no notes. Your function may be asked by an operator that has just been started, in the middle of somebody else's
# upgrade, or after somebody has changed their mind. All that it may go by is what it is given.
#
# The check plays histories that you do not see: members crash, leaders move, minds change. Then it has your function
# bring your Quorum to the other one of the releases 1.0 and 1.1, under a client's writes.

# %% exercise="o5-order"
from labsupport.operators.fleet import Change, Done, HandOver, Wait


### BEGIN SOLUTION: # YOUR FUNCTION HERE; then lab.deploy(next_step, host="upgrader", name="upgrader")
def next_step(members, wanted):
    down = [each for each in members if each.trouble]
    old = [each for each in members if each.release != wanted]
    if len(down) > 1 or not any(each.leads for each in members):
        return Wait()
    if down:
        (one,) = down
        return Change(one.name) if one.release not in ("", wanted) else Wait()
    for each in old:
        if not each.leads:
            return Change(each.name)
    if old:
        return HandOver(next(each.name for each in members if not each.leads))
    return Done()


lab.deploy(next_step, host="upgrader", name="upgrader")
### END SOLUTION

# %%
lab.check("o5-order")

# %% [markdown]
# This is what was done:

# %%
upgrades.last(lab)

# %% [markdown]
# The same members, about the same time, and one line more: *hands over to*. Compare the longest time without a write.
#
# Your Quorum came from 1.1, and it went *back*. There was a way back only because its protocol was **held** (by the
# annotation `quorum.labs.example/protocol: hold`): when all members were of 1.1, all of them spoke 2. The operator
# would have raised it at that moment, and with that closed the door. Real systems have that switch too; CockroachDB,
# for one, calls it `cluster.preserve_downgrade_option`. Run the new release for a week, then let go.
#
# ## When is a member well?
#
# After each `Change`, somebody must decide whether to go on to the next. That is the **gate**, and the host has used
# the operator's until now. A gate that asks too little goes on while a member is broken, and takes the next one: with
# that, the majority is gone. This is what the last member looked like, after its Pod was made anew:

# %%
upgrades.looks(lab)

# %% [markdown]
# *Ready* is Kubernetes' probe: the member's process answers, and has found a leader. That alone says nothing about
# whether the *leader* hears it, whether it has caught up with the log (until then its vote is worth nothing in a
# count that decides on the newest entry), whether it still has its share of the key, and whether it is the same
# member at all. One that comes back on an empty volume has forgotten what it has promised, and it has another id.
#
# Nor does *one* good look say much. A member that crashes every few seconds is fine in between.
#
# ## Your turn: `o5-gate`
#
# **Write `gate(looks, limit)`.** `looks` are all looks at a member since its Pod was made anew, the newest last; there
# is at least one. Each has
#
# | Field | Says |
# |---|---|
# | `age` | how many seconds ago the Pod was made |
# | `ready` | what Kubernetes' probe says |
# | `id`, `was` | the Raft id with which it answers (`""` if it does not answer), and the one that it had before |
# | `heard` | whether the leader hears it |
# | `caught_up` | whether it has all of the leader's log |
# | `speaks`, `protocol` | the lowest and highest protocol that it speaks, a tuple, and the one that the Quorum uses |
# | `holder`, `has_share` | whether it had a share of the key before, and whether it has one |
#
# Return
#
# - `"on"` if nothing is wrong in any of the last three looks. A member that never had a share needs none. With fewer
#   than three looks, nobody knows.
# - `"back"` otherwise, if the newest look is at an age of `limit` or more: the upgrade stops, and the member is made
#   of the old release again;
# - `"wait"` otherwise.
#
# The check calls `gate` on members that misbehave, each in its own way. Then it has your Quorum go to `1.1-broken`,
# whose members start, answer, and never get ready, and gives each 8 seconds. Your gate must stop that after the first
# one.


# %% exercise="o5-gate"
### BEGIN SOLUTION: # YOUR FUNCTION HERE; then lab.deploy([next_step, gate], host="upgrader", name="upgrader")
def fine(look):
    lowest, highest = look.speaks
    return (
        look.ready
        and look.heard
        and look.caught_up
        and look.id == look.was
        and lowest <= look.protocol <= highest
        and (look.has_share or not look.holder)
    )


def gate(looks, limit):
    newest = looks[-3:]
    if len(newest) == 3 and all(fine(each) for each in newest):
        return "on"
    return "back" if looks[-1].age >= limit else "wait"


lab.deploy([next_step, gate], host="upgrader", name="upgrader")
### END SOLUTION

# %%
lab.check("o5-gate")

# %% [markdown]
# What did the stop save? The broken release has cost one member of three, for as long as `limit`. The other two have
# gone on writing all the time. Had the gate said `"on"`, the second one would have followed within seconds, and with
# it the majority: no write, and no way out that the members could decide on by themselves.
#
# And why does it go *back* only by one member, and not to where the whole upgrade began? Because members that passed
# the gate are well as they are. A rollback is a change like any other: it has an order, it can fail, and each member
# that is not touched cannot fail in it.

# ## Before the first step
#
# All this is for upgrades that fail at one member. Some fail later, and everywhere: the new release writes something
# wrong, and all of them have it. Against that no order helps. What helps is a back-up from before the first step, and
# the Quorum's operator begins no upgrade without one (`spec.upgrade.backup`, which is `Skip` for yours). It makes
# a Job, which asks the leader for all keys and values at one moment, and writes them into a file on a volume. A restore
# goes into a **new** Quorum, never into one that has something in it: three members, an empty log, and then the content
# of that file.
#
# A Quorum also *signs*. Its members have made a key together, of which each has a share, and which none of them ever
# had as a whole (lab O4). Clients know its public half.
#
# ## Your turn: `o5-restore`
#
# **A back-up of `q` is brought into a new Quorum `r`. By which key will `r` sign?** Commit to one of these:
#
# - `"the same"`: the key of `q`; who knows its public key, can verify what `r` signs
# - `"another"`: a key of its own; clients have to be told a new public key
# - `"none"`: it has the data, and cannot sign

# %% exercise="o5-restore"
### BEGIN SOLUTION: lab.predict("o5-restore", ...)
lab.predict("o5-restore", "another")
### END SOLUTION

# %%
lab.check("o5-restore")

# %% [markdown]
# Now see. Write something, and take a back-up by hand:

# %%
quorums.Quorum(lab.world).put("colour", "blue")
lab.apply(lab.read("start/backup.yaml"))

# %%
backups.copied(lab, "QuorumBackup", "before")

# %% [markdown]
# And bring it into another Quorum:

# %%
lab.apply(lab.read("start/restored.yaml"))

# %%
backups.copied(lab, "QuorumRestore", "again")

# %%
backups.compare(lab, "colour", q="desk", r="desk-of-r")

# %%
lab.check("o5-restore")

# %% [markdown]
# The value is there, and the key is another one. A back-up that could bring the key back would have to hold it: a
# threshold of the shares, in one file, on one volume. Whoever gets that file would sign in the name of the Quorum,
# and all the trouble of never having the key in one place would have been for nothing. So the shares never leave the
# members' volumes, and a back-up is not allowed to ask for them. What that costs is written down before it is needed:
# **after a restore, clients must be told a new public key.** A loss of one member or two needs no restore; the others
# make new shares of the same key.

# %%
lab.progress()

# %% [markdown]
# ## What you can now explain
#
# - Why members of one system agree on a protocol's version in their log, why it is raised only when all speak it, and
#   why it is never lowered. What holding it back is good for.
# - Why some upgrades go by a release in between.
# - What a StatefulSet knows of its Pods, and what an ordered upgrade needs to know besides.
# - Why followers come first, why a leader hands over before it goes, and what that saves whom.
# - Why "at most one away" counts every member that is away, whoever is to blame.
# - What a readiness probe does not say, and why one good look is not enough.
# - What a back-up holds, what it must not hold, and what a restore therefore costs.
# - Why the order of an upgrade is a pure function of what is seen: an operator may be killed after any step.
