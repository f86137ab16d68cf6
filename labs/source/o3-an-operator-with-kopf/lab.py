# %% [markdown]
# # An operator with a framework
#
# In O2 you wrote a shepherd. Around your function there was a good deal that you did not write: list and watch, a
# queue, attempts after failures. Nobody writes that twice. There are frameworks for it: controller-runtime and its
# kubebuilder for Go, **kopf** for Python. In this lab your shepherd moves into kopf. You find out what it does for
# you, and, which is more important, what it does *not*.

# %%
import kopf

from labsupport.course import lab
from labsupport.course.lessons import loop, operating, replicas

lab.start("o3")

# %% [markdown]
# ## Handlers
#
# The lab has made the kind `Flock` again: a size, a colour, and this time a **status**, in which an operator says
# what it has seen and done. With kopf you write functions, and say by decorators when each is to be called. Here is
# a whole operator:

# %%
FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}


@kopf.on.create(**FLOCKS)
@kopf.on.update(**FLOCKS)
def greet(name, reason, spec, **_):
    print(f"{reason}: {name} wants {spec['size']} {spec['colour']} sheep", flush=True)


greeter = lab.deploy(greet, host="kopf", name="greeter")
greeter

# %% [markdown]
# A handler takes what it needs by name (`spec`, `meta`, `body`, `status`, `patch`, `retry`, and
# [many more](https://docs.kopf.dev/en/stable/kwargs/)), and `**_` for the rest. The Pod around it runs kopf
# (`labsupport/operators/kopf_host.py`), and tells us each call. A Flock is made, changed twice, and changed back:

# %%
for size in (2, 3, 2):
    loop.want(lab, "lea", size=size)
    operating.rested(lab, "greeter", "lea")
operating.table(operating.rested(lab, "greeter", "lea"))

# %% [markdown]
# A watch tells `ADDED` and `MODIFIED`. How does kopf know that the first call is a *creation*, and that the others are
# changes of the spec, and not of a label or the status? And how would it know so after a restart? It keeps a book:

# %%
operating.book(lab, "lea")

# %% [markdown]
# The book is in an annotation of the object: what the object looked like when all handlers had ended. A difference to
# it is an update, no book at all is a creation. You have seen books before, in O2, and what is wrong with them: **a
# sheep that is deleted changes nothing in its Flock.** These two decorators will never tell you of a wolf. They are
# a level-triggered look at the Flock, and know nothing else.
#
# The book does help if the operator was away. Switch it off, change the Flock, switch it on:

# %%
operating.switch(lab, "greeter", on=False)
loop.want(lab, "lea", size=7)
operating.switch(lab, "greeter", on=True)
operating.table(operating.rested(lab, "greeter", "lea"))

# %% [markdown]
# One change was missed, and it was told afterwards. (The calls of before are gone with the old Pod and its log.)
# What if it had been changed and changed back? Then there would be no difference, and no call, and rightly so.
#
# That is enough of the greeter.

# %%
operating.leave(lab, "lea")
greeter.stop()

# %% [markdown]
# ## Which decorator, when
#
# | Decorator | Calls the function |
# |---|---|
# | `kopf.on.create` | for an object that is not in the book; again after failures |
# | `kopf.on.update` | when it differs from the book |
# | `kopf.on.resume` | once for each object that is in the book already when the operator starts |
# | `kopf.on.delete` | when it is being deleted, before it is gone |
# | `kopf.on.event` | for each event of a watch; failures are forgotten |
# | `kopf.timer` | again and again, every `interval` seconds, as long as the object is there |
# | `kopf.daemon` | once, in a thread of its own, which runs as long as the object is there |
#
# One function may wear several of them.
#
# ## Your turn: `o3-handlers`
#
# **Write the handler `tend`, and bind it so that a Flock is always in order again soon.**
#
# - `bring_into_order(core, flock)` is given. It is what you wrote in O2: idempotent, with owner references, and it
#   returns how many sheep there are. `client.CoreV1Api()` makes the `core`; `body` is the Flock as it is.
# - Then `tend` says in the **status** what it has done: `sheep`, how many there are, and `observedGeneration`, for
#   which generation of the Flock that is true. What you put into `patch.status` is written when the handler has
#   ended, even if it raised.
# - It is called for a new Flock, after a change of the Flock, and when the operator starts. And a sheep that was
#   deleted is back after a few seconds: look every `OFTEN` seconds.
# - A refusal of the API server's is none of your business: let it out, and kopf calls again.
#
# The check calls `tend` on Flocks that you do not see. Then it makes one of its own, takes sheep away, switches the
# operator off, takes all sheep, and switches it on.

# %% exercise="o3-handlers"
import kopf
from kubernetes import client

from labsupport.operators.flocks import bring_into_order

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}
OFTEN = 3  # seconds


### BEGIN SOLUTION: # YOUR HANDLER HERE; then lab.deploy([tend], host="kopf", name="shepherd")
@kopf.on.create(**FLOCKS)
@kopf.on.update(**FLOCKS)
@kopf.on.resume(**FLOCKS)
@kopf.timer(**FLOCKS, interval=OFTEN)
def tend(body, patch, **_):
    patch.status["sheep"] = bring_into_order(client.CoreV1Api(), body)
    patch.status["observedGeneration"] = body.metadata["generation"]


lab.deploy([tend], host="kopf", name="shepherd")
### END SOLUTION

# %%
lab.check("o3-handlers")

# %% [markdown]
# ## What it said, and when it was true
#
# Make a Flock, and look at what is in its status:

# %%
loop.want(lab, "lea", size=3, colour="black")
operating.table(operating.rested(lab, "shepherd", "lea", quiet=0.5)[:4])

# %%
# !labs kubectl -n {lab.namespace} get flock lea -o jsonpath={{.metadata.generation}}{{.status}}

# %% [markdown]
# `generation` is counted by the API server: each change of the *spec* adds one. The status repeats the one that the
# handler has seen. Whoever waits for your operator compares the two. As long as they differ, the status speaks of an
# older wish. Without that number nobody can tell "3 of 3, done" from "3 of 3, and I have not heard yet that you want
# 10".
#
# There is something else in this Flock that you did not put there:

# %%
operating.held(lab, "lea")

# %% [markdown]
# ## Finalizers
#
# A **finalizer** is a text in `metadata.finalizers`, no more. The API server does one thing with it. When somebody
# deletes the object, it is not removed as long as there is any. It gets a `deletionTimestamp` and stays, readable,
# until the last finalizer has been taken off, by whoever put it there. kopf puts one on every object for which it has
# something to do before the end: to stop a timer, for instance. Delete the Flock, and look at how long that takes:

# %%
operating.leave(lab, "lea")

# %% [markdown]
# The sheep have gone as well, since they have an owner. For these no finalizer is needed: the garbage collector does
# that better than you could. It is needed for what **lies outside**, which no garbage collector knows: an entry of
# the DNS, a bucket, a row in somebody's database. Ours is the register of brands, a ConfigMap that stands for
# such a thing. Each flock that is made is entered; each flock that goes must be struck out.

# %%
lab.apply(lab.read("start/register.yaml"))

# %% [markdown]
# ## Your turn: `o3-finalizer`
#
# **Write `strike`, which strikes a Flock out of the register when it is deleted, even if the operator is not running
# at that moment.** `enter` is given. In the ConfigMap `register` of the Flock's namespace, each flock has a key in
# `data`: its name.
#
# - The register belongs to all flocks. Others may be entered while you write.
# - A handler may be called twice: the first time it did its work, and died before kopf could note that. What is gone
#   already is no error. Neither is a register that is gone itself; and do not make a new one.
# - If the API server refuses you for any other reason, the entry is still there. kopf must hear of it.
#
# The check makes a Flock, switches the operator off, deletes the Flock, and switches the operator on again.

# %% exercise="o3-finalizer"
import kopf
from kubernetes import client

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}


@kopf.on.create(**FLOCKS)
@kopf.on.resume(**FLOCKS)
def enter(name, namespace, uid, **_):
    """Enter a Flock; its brand is the beginning of its uid."""
    entry = {"data": {name: uid[:8]}}
    client.CoreV1Api().patch_namespaced_config_map("register", namespace, entry)


### BEGIN SOLUTION: # YOUR HANDLER HERE; then lab.deploy([enter, strike], host="kopf", name="clerk")
@kopf.on.delete(**FLOCKS)
def strike(name, namespace, **_):
    entry = {"data": {name: None}}  # a merge patch: None takes this key away, and no other
    try:
        client.CoreV1Api().patch_namespaced_config_map("register", namespace, entry)
    except client.ApiException as error:
        if error.status != 404:
            raise


lab.deploy([enter, strike], host="kopf", name="clerk")
### END SOLUTION

# %%
lab.check("o3-finalizer")

# %% [markdown]
# ## A finalizer that never ends
#
# Now the dark side. A Flock is entered in the register:

# %%
loop.want(lab, "fen", size=1)
operating.entered(lab, "fen")

# %% [markdown]
# Somebody finds the clerk superfluous, and removes it. Later somebody else, who knows nothing of that, deletes the
# Flock:

# %%
operating.switch(lab, "clerk", on=False)
operating.ask_to_delete(lab, "fen")

# %%
operating.held(lab, "fen")

# %% [markdown]
# The answer was 200, and the Flock is still there. It will be there tomorrow. This is what hides behind most
# namespaces that hang in `Terminating`: some object in them waits for a program that has been uninstalled. You see
# two things: *since when* it has been wanted away, and *whose* finalizer is left. (The shepherd's is gone, since it
# was running. Each operator has one of its own, named by a domain.) The second is the name of the program that you
# look for:
#
# 1. Is it there, and does it run? Then its log says why it fails.
# 2. Can it be brought back? Then bring it back, and all is well. That is what the check did.
# 3. Only if neither is possible: take the finalizer off by hand. **You promise with it that you do its work.**

# %%
operating.release(lab, "fen")

# %%
operating.entries(lab)

# %% [markdown]
# The Flock is gone, and its entry is there for good: no program will ever look for it, since there is no object any
# more from which to learn of it. So do what you have promised, and bring the clerk back:

# %%
operating.leave(lab, "fen")
operating.erase(lab, "fen")

# %%
operating.switch(lab, "clerk", on=True)

# %% [markdown]
# This is also why an operator is removed in this order: first its objects, then the operator, then its kinds.
#
# ## When a handler fails
#
# Things fail in three ways, and a handler says which one it is by what it raises.
#
# - `kopf.TemporaryError("...", delay=1)`: not now. Call again after a second.
# - `kopf.PermanentError("...")`: not ever, for what is wanted now. Do not call again.
# - Any other exception: nobody knows, it may be a bug. Call again after `backoff` seconds, at most `retries` times
#   in all.
#
# Here is a dyer. It also writes a **condition**: a named statement about the object, which is `True`, `False` or
# `Unknown`, with a reason for programs, a message for people, and the generation that it is about.


# %%
def dyed(body, status, reason, message):
    """The condition `Dyed`, of the generation that was seen."""
    told = {"type": "Dyed", "status": status, "reason": reason, "message": message}
    return told | {"observedGeneration": body.metadata["generation"]}


DYES = {"white": "#fff", "grey": "#888", "black": "#000"}


@kopf.on.create(**FLOCKS, backoff=1, retries=4)
@kopf.on.update(**FLOCKS, backoff=1, retries=4)
def dye(body, spec, patch, retry, **_):
    """Dye a flock; `retry` counts the calls for this change that were made before this one."""
    patch.status["conditions"] = [dyed(body, "False", "Working", f"attempt {retry + 1}")]
    if spec["colour"] == "grey" and retry < 3:
        raise kopf.TemporaryError("the grey dye has not been delivered yet", delay=1)
    if spec["colour"] == "plaid":
        patch.status["conditions"] = [dyed(body, "False", "NoSuchColour", "no sheep is plaid")]
        kopf.warn(body, reason="NoSuchColour", message="no sheep is plaid")
        raise kopf.PermanentError("no sheep is plaid")
    colour = DYES[spec["colour"]]
    patch.status["conditions"] = [dyed(body, "True", "Dyed", f"in {colour}")]
    kopf.info(body, reason="Dyed", message=f"{spec['size']} sheep in {colour}")


# %% [markdown]
# Three Flocks will be made, each named after its colour: `grey`, `plaid` and `gold`. Follow each of them through the
# function.
#
# ## Your turn: `o3-errors`
#
# **How many times is `dye` called for the three new Flocks, all calls together?** Commit a number before you run it.

# %% exercise="o3-errors"
### BEGIN SOLUTION: lab.predict("o3-errors", ...)
lab.predict("o3-errors", 9)
### END SOLUTION

# %%
lab.check("o3-errors")

# %% [markdown]
# Now for real. Wait for the last attempt:

# %%
dyer = lab.deploy([dye], host="kopf", name="dyer")
for colour in ("grey", "plaid", "gold"):
    loop.want(lab, colour, size=1, colour=colour)
attempts = operating.rested(lab, "dyer", quiet=2.5, least=3)
operating.table(attempts, "Calls of dye")

# %%
lab.check("o3-errors")

# %% [markdown]
# Grey: three times "not now", then done. Plaid: one call, and never again. Gold: nobody has thought of that colour,
# so `DYES["gold"]` raises a `KeyError`, which kopf knows nothing about. It tries again, although it is as hopeless
# as plaid, and gives up after four calls. Without `retries` it would try for ever: that is the default, and for a
# database that is away for an hour it is the right one.
#
# Attempts that come back later and later are called **back-off**. Here the pause is always a second, so that you need
# not wait; kopf's default is a minute. While a Flock waits, no thread waits with it: kopf has noted the attempts in
# an annotation, so that even a restart does not forget them.
#
# The log of the Pod tells the developer. Who wanted a plaid flock never sees it. For them there are two places:

# %%
operating.conditions(lab, "grey", "plaid", "gold")

# %%
operating.events(lab, "grey", "plaid", "gold")

# %% [markdown]
# An **Event** tells what happened; it is kept for an hour. A **condition** tells what is so, as long as it is so.
# `gold` shows a bad one: `Working`, and nobody works on it. A handler that raises something unexpected has not come
# to the line that would have told. That is an argument for `PermanentError` and a condition wherever you *know* that
# there is no hope.
#
# And how does the plaid flock get on? Not by time. Somebody must want something else. That is a new generation, and
# a new beginning:

# %%
loop.want(lab, "plaid", size=1, colour="black")
operating.table(operating.rested(lab, "dyer", "plaid", least=2), "Calls of dye for plaid")

# %%
operating.conditions(lab, "plaid")

# %% [markdown]
# The condition's `observed` has followed the generation: this statement is about what is wanted now.

# %%
operating.leave(lab, "grey", "plaid", "gold")
dyer.stop()

# %% [markdown]
# ## What an operator may
#
# An operator is a program with a token. Whoever gets into its Pod may do what the operator may, so it matters how much
# that is. Many are installed as `cluster-admin`, since nobody knows what they need. Here is what your shepherd's
# ServiceAccount may do in your namespace (the last columns of the first lines count, the rest is everybody's):

# %%
# !labs kubectl -n {lab.namespace} auth can-i --list --as=system:serviceaccount:{lab.namespace}:shepherd

# %% [markdown]
# The host has given it a Role of its own name, for all that any handler of this lab might want. How much of it does
# the shepherd use? Reading its code tells half of it: what `bring_into_order` asks for
# (`labsupport/operators/flocks.py`). The other half is kopf's: it learns of Flocks, notes its book and its finalizer in
# their metadata, and writes their status. An experiment tells all of it. Here it is with the greeter from above: take
# everything away, start anew, and look at what is refused.

# %%
greeter = lab.deploy(greet, host="kopf", name="greeter")
lab.apply("""
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: greeter
rules: []
""")
operating.restart(lab, "greeter")

# %%
operating.refusals(lab, "greeter")

# %%
greeter.stop()

# %% [markdown]
# Each refusal names a verb, a resource and an API group: one line of a Role. Give that, start anew, make a Flock, and
# the next one shows up. Three things to know:
#
# - A **subresource** is a resource of its own to RBAC: a right to `flocks` is none to `flocks/status`.
# - A watch that is open is not asked again. Only after a restart do you know that the rights are enough.
# - Some things happen rarely. A right that is missing for them is found at the worst time: what does the shepherd do
#   when a sheep is dyed, when a Flock gets smaller, when it goes?
#
# ## Your turn: `o3-rbac`
#
# **Write the Role `shepherd`: every right that the shepherd uses, and no other.** No wildcard stands for a list that
# one has not made. The RoleBinding is there already.
#
# The check asks the API server what the ServiceAccount may do. Then it restarts the shepherd, and gives it a whole day
# of work with a Flock of its own.

# %% exercise="o3-rbac"
### BEGIN SOLUTION: # YOUR YAML HERE, for instance by lab.apply(f"""...""")
lab.apply(f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: shepherd
rules:
  - apiGroups: ["{lab.group}"]
    resources: [flocks]
    verbs: [list, watch, patch]
  - apiGroups: ["{lab.group}"]
    resources: [flocks/status]
    verbs: [patch]
  - apiGroups: [""]
    resources: [configmaps]
    verbs: [list, create, patch, delete]
""")
### END SOLUTION

# %%
lab.check("o3-rbac")

# %% [markdown]
# Look at what is not in it. The shepherd may not read Secrets, not make Pods, not change Roles. It may delete any
# ConfigMap of this namespace, which is more than you would like: RBAC knows kinds and names, but no labels and no
# owners. That is one reason for operators to live in a namespace of their own, and to be given each namespace that
# they work in by a RoleBinding there.

# %% [markdown]
# ## Two of them
#
# Your operator is one Pod. When its node dies, nobody looks after the Flocks until another Pod runs, and that may
# take minutes. So why not two replicas? Here is the greeter once more, and twice, with three new Flocks:

# %%
greeter = lab.deploy(greet, host="kopf", name="greeter")
operating.scale(lab.world, "greeter", 2)
for flock in ("lea", "hill", "moor"):
    loop.want(lab, flock, size=1)
replicas.table(lab, "greeter", quiet=1.5)

# %%
operating.leave(lab, "lea", "hill", "moor")
greeter.stop()

# %% [markdown]
# More than three calls are too many. Both watch the same Flocks, and neither knows of the other; if one finds the
# other's note in the book before it has begun, that is luck. Two greetings are a nuisance. Two replicas of which one
# has an older picture of the world undo each other's work. So one of them works, and the others wait until it is
# gone. That is easily said: **how does one know that another one is gone?** It may be dead, or cut off
# from you, or slow, and from outside these look alike.
#
# Kubernetes' own controllers agree by a **Lease**: an object with the name of a holder, and a promise.
#
# - The holder renews the Lease again and again. Its promise is: *if I have not renewed for `leaseDurationSeconds`, I
#   am not acting any more.* So a holder that cannot renew must **stop by itself**, some time before: nobody can tell
#   it.
# - The others watch. Who has seen no change for the time that was promised may take the Lease.
# - Two may try at once. A write carries the `resourceVersion` that was read, and the API server refuses the second
#   one with 409, as in O2. So the Lease has one holder at any time. But that is the *Lease*; whether the old holder
#   has stopped is the promise's business.
#
# What about clocks? In the Lease stands `renewTime`, by the holder's wall clock, and yours may be a minute ahead.
# Whoever compares the two takes the Lease from somebody who is alive, or waits for ever. Kubernetes' rule
# (client-go's) is: **never look at what time it says, only at whether it has changed**, and measure by your own clock
# how long ago you saw that. Then clocks may be wrong, if only they are about equally fast.
#
# kopf knows no Leases. It has peers with priorities: they tell each other that they are there, and the lower one
# pauses. Until they have heard of each other, both work.
#
# ## Your turn: `o3-lease`
#
# **Write `elect`, by which two replicas agree on one that acts.** Each of them calls it every second: `elect(lease,
# me, note, clock, leaving)` looks at the Lease, writes to it if that may be done, and returns **until when, by
# `clock()`, this replica may act**, or `None` if it may not.
#
# | What it gets | Is |
# |---|---|
# | `lease.read()` | a dictionary: `holderIdentity`, `leaseDurationSeconds`, `renewTime`; empty if nobody ever had it |
# | `lease.write({...})` | alters these entries: `True`; or `False` if somebody has written since you read |
# | `lease.stamp()` | the wall clock's time, for `renewTime` |
# | `me` | the name of this replica, which no other one has |
# | `note` | a dictionary of this replica's own, empty at first: what you put there is there in the next call |
# | `clock()` | seconds, by a clock that never jumps; where it began is unknown |
# | `leaving` | `True` in the last call: this replica has been told to end, and has ended its work |
#
# - Take the Lease when nobody has it, renew it when it is yours, and take it from another one when it has not changed
#   for as long as **that one** has promised. Promise `DURATION` seconds.
# - Who has renewed acts for `DEADLINE` seconds. Any request may take long, both there and back: count so that the
#   promise is kept even then, and that you never wait less than the other one has promised.
# - Who is leaving and holds the Lease sets the holder to `""`, so that nobody need wait. It takes nothing and renews
#   nothing.
# - What the API server refuses, or does not answer, is to be let out: what `elect` returned last then holds until its
#   time has come.
#
# `ring` is given: it is what the one that acts does. The check lets your function play against itself, and against
# another one that promises more, in schedules that you do not see: with wrong clocks, with slow requests, with a
# leader that dies, freezes, or is cut off. Then it kills the replica that rings in the cluster.

# %% exercise="o3-lease"
import kopf

FLOCKS = {"group": lab.group, "version": "v1", "plural": "flocks"}
DURATION, DEADLINE = 6, 4  # seconds: what a holder promises, and how long it acts


@kopf.timer(**FLOCKS, interval=1)
def ring(name, **_):
    """Ring the bell of a Flock."""
    print(f"ding: {name}", flush=True)


### BEGIN SOLUTION: # YOUR FUNCTION HERE; then lab.deploy([elect, ring], host="elected", name="ringers")
def elect(lease, me, note, clock, leaving):
    began = clock()  # a promise counts from before the request was sent
    spec = lease.read()
    holder = spec.get("holderIdentity")
    if leaving:
        if holder == me:
            lease.write({"holderIdentity": ""})
        return None
    seen = holder, spec.get("renewTime")
    if seen != note.get("seen"):
        note["seen"], note["since"] = seen, clock()  # and waiting counts from after the answer came
    if holder and holder != me and began - note["since"] < spec["leaseDurationSeconds"]:
        return None
    mine = {"holderIdentity": me, "leaseDurationSeconds": DURATION, "renewTime": lease.stamp()}
    return began + DEADLINE if lease.write(mine) else None


lab.deploy([elect, ring], host="elected", name="ringers")
### END SOLUTION

# %%
lab.check("o3-lease")

# %% [markdown]
# ## Gently, and not
#
# Now look at it. A Flock is made, so that somebody rings. First the Pod that acts is deleted: it gets the time to
# leave, and gives the Lease up.

# %%
loop.want(lab, "lea", size=1)
replicas.fell(lab, "ringers", kindly=True)

# %% [markdown]
# Then the one that acts is killed, and leaves nothing but its promise:

# %%
replicas.fell(lab, "ringers")

# %%
replicas.table(lab, "ringers")

# %%
# !labs kubectl -n {lab.namespace} get lease ringers -o jsonpath={{.spec}}

# %% [markdown]
# The difference between the two is what the promise costs. A shorter one costs more requests, and a leader that is
# merely slow loses its office for nothing. Kubernetes' own controllers promise 15 seconds, act for 10, and look every
# 2.
#
# One gap is left, and no Lease closes it. A replica looks at its clock, may act, sends a request, and freezes *then*;
# the request arrives when another one has been leading for a while. That is why `DEADLINE` is some way before
# `DURATION`, and why even a leader's writes carry a resourceVersion, and should not harm when made twice: idempotent,
# again.

# %%
operating.leave(lab, "lea")

# %%
lab.progress()

# %% [markdown]
# ## What you can now explain
#
# - What a framework does for an operator (watches, a book, attempts, finalizers, Events), and what it leaves to you:
#   idempotence, and what your function should look at.
# - Why `on.create` and `on.update` never hear of a deleted child, and what does.
# - What a status is worth without `observedGeneration`.
# - When the garbage collector is enough, and when a finalizer is needed; why a finalizer's handler must be able to
#   run twice, and must not hide a failure.
# - What hangs when something hangs in `Terminating`, whom to look for, and what you promise when you take a finalizer
#   off by hand.
# - Temporary, permanent and unexpected failures; and the difference between an Event and a condition.
# - How to find out what an operator must be allowed, and why a restart belongs to it.
# - How replicas agree on one that works: what a Lease promises, by which clock it is measured, why a leader must stop
#   by itself, and which gap remains.
