# %% [markdown]
# # The control loop
#
# In lab 00 you followed one `apply` through four programs, none of which ever told another what to do. Each looked at
# a state and wrote a state. In this lab you write such a program, and you find out why it has to be written in one
# particular way. The other way, which looks just as good, loses sheep.

# %%
from labsupport import kube
from labsupport.course import lab
from labsupport.course.lessons import journal, loop

lab.start("o2")

# %% [markdown]
# ## A wish that nobody fulfils
#
# The lab has made a kind of its own, `Flock`, as you did in O1. A Flock says how many sheep it wants, and of which
# colour. A sheep is a ConfigMap: cheap, quickly made, quickly eaten. One Flock, `meadow`, is there already. How many
# sheep are there?

# %%
# !labs kubectl -n {lab.namespace} get flocks
# !labs kubectl -n {lab.namespace} get configmaps -l flock=meadow

# %% [markdown]
# None. The API server stores the wish, checks it against its schema, and is content. What is missing is a
# **controller**: a shepherd who looks at what is wanted and at what is there, and does something about the
# difference.
#
# ## Two requests, and one number
#
# Before a controller can act it must know. It could ask every second. It does something better, with two requests.
# The first one is a **list**. It returns what is there, and a `resourceVersion`: the moment in the life of the whole
# store at which this was true.

# %%
flocks = f"/apis/{lab.group}/v1/namespaces/{lab.namespace}/flocks"
answer = kube.request(lab.api, "GET", flocks)
version = answer["metadata"]["resourceVersion"]
print([each["metadata"]["name"] for each in answer["items"]], "at version", version)

# %% [markdown]
# Now some things happen while you look the other way: a second flock is made, `meadow` grows, the second one goes
# again, and `meadow` shrinks to what it was.

# %%
loop.want(lab, "hill", size=2)
loop.want(lab, "meadow", size=5)
loop.clear(lab, "hill")
loop.want(lab, "meadow", size=3)

# %% [markdown]
# The second request is a **watch**: the same path, and "tell me what happened after version so-and-so, and go on".
# You open it only now, after the fact. What do you expect to get?

# %%
for event in loop.watch(lab, flocks, version, seconds=1):
    print(loop.line(event))

# %% [markdown]
# Everything, in order, nothing twice. List and watch fit together without a gap because both speak of the same
# counter. (A `BOOKMARK`, if you see one, is about no object at all. The server says: up to this version you have
# heard everything. Keep that one number, even if no Flock has changed for an hour.)
#
# Two things can go wrong. A watch **ends**: connections break, and the server itself ends each one after some
# minutes. That costs nothing, as you can open the next one from the last version you saw. And a version **expires**.
# The server remembers the last few minutes, not the whole past. Ask it for the beginning of time:

# %%
for event in loop.watch(lab, flocks, "1", seconds=1):
    print(loop.line(event))

# %% [markdown]
# `410`, "too old resource version". It comes as an event, within an answer whose HTTP status is 200. What happened
# between then and now is lost for good. So what do you do? You stop asking what *happened*, and ask what *is*: a new
# list. Keep that thought, it is the whole lab.
#
# ## Your turn: `o2-watch`
#
# **Keep a cache of Flocks correct.** Your function gets two functions and a dictionary:
#
# - `list_flocks()` returns the answer of a list, as you printed it above;
# - `watch_flocks(version)` yields events, each with `type` and `object`, until the connection ends, as it always does
#   some day;
# - `cache` is to map each Flock's name to its object, and must be right **after every single event**.
#
# It never returns. The check runs it on histories that you do not see, with breaks, bookmarks and expired versions,
# and then on the real API server. It also minds what you cost the server: a whole new list only where nothing else
# helps.


# %% exercise="o2-watch"
def follow(list_flocks, watch_flocks, cache):
    """Keep `cache` (name -> Flock) as the server has it, for ever."""
    ### BEGIN SOLUTION: ...
    while True:
        answer = list_flocks()
        cache.clear()  # what is not in the list is gone
        cache.update({each["metadata"]["name"]: each for each in answer["items"]})
        version = answer["metadata"]["resourceVersion"]
        while version:
            for event in watch_flocks(version):
                flock = event["object"]
                if event["type"] == "ERROR":
                    version = ""  # expired: only a list can help
                    break
                version = flock["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    del cache[flock["metadata"]["name"]]
                elif event["type"] != "BOOKMARK":
                    cache[flock["metadata"]["name"]] = flock
    ### END SOLUTION


# %%
lab.check("o2-watch")

# %% [markdown]
# ## Two shepherds
#
# With a stream of events, the obvious way to write a controller is to *react to events*. Here is such a shepherd.
# Read it; there is no trick in it. A Flock is made: make its sheep. A Flock grows by three: make three more. A sheep
# dies: make another.

# %%
import secrets


def owner_of(flock):
    """A reference from a sheep to its flock (more on that soon)."""
    meta = flock["metadata"]
    owner = {"apiVersion": flock["apiVersion"], "kind": "Flock", "name": meta["name"], "uid": meta["uid"]}
    return owner | {"controller": True}


def make_sheep(core, namespace, owner, name):
    metadata = {"name": name, "labels": {"flock": owner["name"]}, "ownerReferences": [owner]}
    core.create_namespaced_config_map(namespace, {"metadata": metadata})


def edge(core, change):
    """Called once for each event: act on what has changed."""
    now = change.now["metadata"]
    if change.kind == "ConfigMap":  # something about a sheep
        owner, more = now["ownerReferences"][0], 1 if change.type == "DELETED" else 0
    else:  # something about the flock
        before = change.before["spec"]["size"] if change.before else 0
        owner, more = owner_of(change.now), change.now["spec"]["size"] - before
    for _ in range(more):
        make_sheep(core, now["namespace"], owner, f"edge-{secrets.token_hex(3)}")


# %% [markdown]
# And here is another one. It gets no event at all. It is told "look at this Flock", looks at what is wanted and at
# what is there, and writes the difference. Why it is called does not interest it.


# %%
def level(core, flock):
    """Called with a Flock as it is now: act on the difference."""
    name, namespace = flock["metadata"]["name"], flock["metadata"]["namespace"]
    wanted = {f"{name}-{number}" for number in range(flock["spec"]["size"])}
    found = core.list_namespaced_config_map(namespace, label_selector=f"flock={name}").items
    there = {each.metadata.name for each in found}
    for each in sorted(wanted - there):
        make_sheep(core, namespace, owner_of(flock), each)
    for each in sorted(there - wanted):
        core.delete_namespaced_config_map(each, namespace)


# %% [markdown]
# Electronics has names for the two: an input can be **edge-triggered**, so that it counts the moments of change, or
# **level-triggered**, so that it looks at how things are. Let both work through the same two days and one night:
#
# | When | What happens | The shepherd |
# |---|---|---|
# | first day | a Flock of size 3 is made | is awake |
# | night | a wolf takes 2 sheep, and the Flock is resized to 5 | is not running: a crash, an upgrade, a dead node |
# | second day | the Flock is resized to 6 | is awake again |
#
# When it wakes up, the edge-triggered shepherd lists the Flocks to get a version to watch from (you know why), and
# then waits for events.


# %%
def two_days(function, trigger):
    """Run a shepherd through two days and a night; returns how many sheep there were after each."""
    flock, counted = trigger, []
    loop.clear(lab, flock)
    with loop.running(lab, function, trigger=trigger, only=flock) as shepherd:
        loop.want(lab, flock, size=3)
        shepherd.settle()
        counted.append(len(loop.sheep(lab, flock)))
    loop.steal(lab, *loop.sheep(lab, flock)[:2])
    loop.want(lab, flock, size=5)
    counted.append(len(loop.sheep(lab, flock)))
    with loop.running(lab, function, trigger=trigger, only=flock) as shepherd:
        shepherd.settle()
        loop.want(lab, flock, size=6)
        shepherd.settle()
        counted.append(len(loop.sheep(lab, flock)))
    return counted, shepherd


# %% [markdown]
# ## Your turn: `o2-level`
#
# Do not run it yet. **How many sheep does the edge-triggered shepherd have at the end of the second day?** Commit a
# number. Being wrong is allowed; not having said anything is not.

# %% exercise="o2-level"
### BEGIN SOLUTION: lab.predict("o2-level", ...)
lab.predict("o2-level", 2)
### END SOLUTION

# %%
lab.check("o2-level")

# %% [markdown]
# Now both, for real, on your cluster:

# %%
on_edges, edge_shepherd = two_days(edge, "edge")
on_levels, level_shepherd = two_days(level, "level")
print("wanted                                 3, then 5, then 6")
print("sheep of the edge-triggered shepherd  ", *on_edges)
print("sheep of the level-triggered shepherd ", *on_levels)

# %% [markdown]
# On the first day there is no difference, and that is what makes the first way so dangerous: it passes every test
# that somebody writes on a quiet afternoon. Then three facts were lost, and **no later event will ever mention them
# again**. Look at what the second day was like for each of them:

# %%
journal.story(edge_shepherd.records, "The edge-triggered shepherd on the second day")

# %%
journal.story(level_shepherd.records, "The level-triggered shepherd on the second day")

# %% [markdown]
# The edge-triggered one did exactly what it was told: 6 is one more than 5. The other one was not told anything about
# wolves. It was called once because it had woken up, counted, and that was that. To a level-triggered controller an
# event is no message. It is a hint that it may be worth looking. **A lost hint changes nothing, and ten hints are as
# good as one.**
#
# Kubernetes cannot give you a stream that loses nothing; you saw it answer 410. That is why every controller in it
# is written in the second way. Check `o2-level` again if you like: it now says what came of your prediction.

# %%
lab.check("o2-level")

# %% [markdown]
# ## Who takes the sheep when the flock goes?
#
# A controller could delete the sheep of a deleted Flock. But if it sleeps at that moment, who tells it later which
# sheep are orphans? The Flock is gone; there is nothing left to look at. So this is not left to controllers. A sheep
# carries an **owner reference**, and one controller of the cluster, the garbage collector, looks after them all:
# whatever refers to owners none of which exists is deleted. That rule is level-triggered too. Watch it:

# %%
loop.clear(lab, "edge")
loop.show_owner(lab, "level")

# %%
loop.collected(lab, "level")

# %% [markdown]
# (If it took many seconds: the garbage collector looks only every half minute whether there are new kinds of objects,
# and Flocks are very new. Once it knows a kind it needs milliseconds.)
#
# ## Your turn: `o2-owners`
#
# The flock `meadow` gets a bell. **Make a ConfigMap `bell` in your namespace that the garbage collector removes when
# the Flock `meadow` goes, and not before.** The manifest is yours to write. One thing it needs cannot be typed from
# memory: `loop.show_owner` above printed one for another object, and `kube.get` reads an object.

# %% exercise="o2-owners"
from labsupport import kube

meadow = kube.get(lab.api, f"{lab.group}/v1", "Flock", "meadow", lab.namespace)
### BEGIN SOLUTION: # YOUR YAML HERE, for instance by lab.apply(f"""...""")
uid = meadow["metadata"]["uid"]
lab.apply(f"""
apiVersion: v1
kind: ConfigMap
metadata:
  name: bell
  ownerReferences:
    - apiVersion: "{lab.group}/v1"
      kind: Flock
      name: meadow
      uid: {uid}
data:
  sound: clonk
""")
### END SOLUTION

# %%
lab.check("o2-owners")

# %% [markdown]
# ## The loop itself
#
# Now write the shepherd that deserves the name. It runs in the cluster, in a Pod, with a ServiceAccount that may do
# only what it must. Around your function is what every controller has, in `labsupport/operators/`: an **informer**
# for each kind, which is your `follow` from the first exercise; and a **queue** that holds *names*, each at most
# once. An event about a sheep puts the name of its Flock into the queue (that is what `controller: true` in the owner
# reference is for). A worker takes a name out, and calls you with the Flock as it is then. If you raise, the name
# comes back later, and later still.
#
# ## Your turn: `o2-reconcile`
#
# **Bring the sheep of one Flock into the order that the Flock wants**, from whatever state they are in.
#
# - `core` is a `CoreV1Api` of the plain Python client `kubernetes`; you need its methods for ConfigMaps: `list_`,
#   `create_`, `patch_` or `replace_`, and `delete_namespaced_config_map`.
# - `wanted_sheep(flock)` is given. A sheep is in order if it has that name, colour, label and controlling owner.
# - People have been at it: sheep are missing, too many, dyed, without their label, without their owner.
# - A ConfigMap that is no sheep of this Flock stays untouched, even if it wears the label. Whose sheep it is, only the
#   uid of its **controlling** owner says. (So the bell is safe: the Flock owns it, and does not control it.)
# - Where nothing is to be done, **nothing is written**. Called twice, the second call only reads.


# %% exercise="o2-reconcile"
def wanted_sheep(flock):
    """The sheep that a Flock wants: name -> ConfigMap."""
    meta = flock["metadata"]
    owner = {"apiVersion": flock["apiVersion"], "kind": "Flock", "name": meta["name"], "uid": meta["uid"]}
    sheep = {}
    for number in range(flock["spec"]["size"]):
        name = f"{meta['name']}-{number}"
        metadata = {
            "name": name,
            "labels": {"flock": meta["name"]},
            "ownerReferences": [owner | {"controller": True}],
        }
        sheep[name] = {"metadata": metadata, "data": {"colour": flock["spec"]["colour"]}}
    return sheep


### BEGIN SOLUTION: def reconcile(core, flock): ...
def is_right(there, sheep):
    """Whether a ConfigMap of the cluster is as the sheep is to be."""
    owners = [each.uid for each in there.metadata.owner_references or [] if each.controller]
    return (
        (there.data or {}).get("colour") == sheep["data"]["colour"]
        and (there.metadata.labels or {}).get("flock") == sheep["metadata"]["labels"]["flock"]
        and owners == [sheep["metadata"]["ownerReferences"][0]["uid"]]
    )


def reconcile(core, flock):
    namespace, uid = flock["metadata"]["namespace"], flock["metadata"]["uid"]
    wanted = wanted_sheep(flock)
    there = {each.metadata.name: each for each in core.list_namespaced_config_map(namespace).items}
    for name, sheep in wanted.items():
        if name not in there:
            core.create_namespaced_config_map(namespace, sheep)
        elif not is_right(there[name], sheep):
            core.patch_namespaced_config_map(name, namespace, sheep)
    for name, each in there.items():
        mine = any(own.uid == uid and own.controller for own in each.metadata.owner_references or [])
        if mine and name not in wanted:
            core.delete_namespaced_config_map(name, namespace)


### END SOLUTION
lab.deploy(reconcile, name="shepherd")

# %%
lab.check("o2-reconcile")

# %% [markdown]
# ## What your shepherd does all day
#
# It runs. Change something, and look at its journal. Here a Flock grows in thirty steps, as fast as the API server
# takes them. That is thirty events, and thirty more for the sheep. How often is your function called?

# %%
with journal.recorded(lab) as records:
    for size in range(1, 31):
        loop.want(lab, "hill", size=size)
journal.story(records, "A flock grows to 30 in thirty steps")

# %% [markdown]
# Read one column: above the line are the events that had gathered under one name in the queue, below is the one
# reconcile that answered them all. While it ran, more events came, and they are in the next column. Nobody counts
# them. The busier it gets, the more of them fall together, which is why a controller under load becomes *cheaper* per
# event:

# %%
journal.cost(records)

# %% [markdown]
# And how soon does it answer? Twenty times a sheep is deleted, and we wait until it is back. Each dot is one of them;
# the other two rows are the parts of it that the shepherd's own journal knows.

# %%
reactions = journal.reactions(lab, "hill", count=20)
loop.clear(lab, "hill")
reactions.picture()

# %% [markdown]
# Look at the spread, not only at the middle: that is what somebody who waits for your operator gets to feel. The
# difference between the first row and the others is the way there and back, from the API server to the informer and
# from the write to us.
#
# Your own attempts are welcome: delete and edit sheep of `meadow` in a terminal (`labs kubectl -n` and your
# namespace), and look here.

# %%
lab.table("v1", "ConfigMap")

# %% [markdown]
# ## Two writers, one number
#
# So far your shepherd was the only one who wrote to its sheep. Often there are more: a person, an autoscaler, another
# controller. The wool of all flocks goes into one barn, a ConfigMap with a number in it. To add to a number you
# read it, compute, and write it back. Between reading and writing there is a gap:

# %%
loop.race(lab, careful=False)

# %% [markdown]
# Both writers were told "200, stored", and one of them has lost its wool. Nobody notices. The remedy is a number that
# you know already: each object carries the `resourceVersion` of its last change. A write that brings along the
# version that it is based on is refused if somebody was faster: **409 Conflict**. It is called optimistic
# concurrency: nobody locks anything; you try, and if you lose you start again from what is there now.

# %%
loop.race(lab, careful=True)

# %% [markdown]
# ## Your turn: `o2-conflict`
#
# **Add `kilos` to the number in `data.kilos` of a ConfigMap, so that nobody's wool is lost**, however many others
# write to the same object at the same time, to the number or to other fields. A conflict is no error, it means
# "again". Every other refusal of the server's is one, and your caller must hear of it.
#
# With the plain client, an object that was read carries its version in `metadata.resource_version`, and a refusal
# raises `client.ApiException`, which has a `status`.

# %% exercise="o2-conflict"
from kubernetes import client


def add_wool(core, namespace, name, kilos):
    """Add to the number in data.kilos of a ConfigMap, whoever else writes to it."""
    ### BEGIN SOLUTION: ...
    while True:
        barn = core.read_namespaced_config_map(name, namespace)
        barn.data["kilos"] = str(int(barn.data["kilos"]) + kilos)
        try:
            core.replace_namespaced_config_map(name, namespace, barn)
            return
        except client.ApiException as error:
            if error.status != 409:
                raise
    ### END SOLUTION


# %%
lab.check("o2-conflict")

# %% [markdown]
# ## Kill it half-way
#
# One last shepherd. Somebody found that counting sheep in each run is a waste, and gave it a book: the Flock's
# `generation` (a number that the API server raises with each change of its spec) is noted, and if it is the one in
# the book, there is nothing new and nothing to do. It passes all its tests, it even *looks* like a level-triggered
# one.
#
# This shepherd is slowed down to five writes a second, as real operators are unless somebody configures them
# otherwise.


# %%
def by_the_book(core, flock):
    """Trusts the book: what is noted there is done."""
    meta = flock["metadata"]
    generation = str(meta["generation"])
    book = core.read_namespaced_config_map("book", meta["namespace"])
    if (book.data or {}).get(meta["name"]) == generation:
        return
    core.patch_namespaced_config_map("book", meta["namespace"], {"data": {meta["name"]: generation}})
    names = {each.metadata.name for each in core.list_namespaced_config_map(meta["namespace"]).items}
    for name, sheep in wanted_sheep(flock).items():
        if name not in names:
            core.create_namespaced_config_map(meta["namespace"], sheep)


lab.apply(lab.read("start/book.yaml"))
bookkeeper = lab.deploy(by_the_book, name="shepherd", writes_per_second=5)
bookkeeper

# %% [markdown]
# Now a flock of eight is wanted, and when three sheep are there, the Pod is killed, without notice. Not a contrived
# accident: nodes die, memory runs out, every upgrade of an operator ends the old process somewhere.

# %%
with journal.recorded(lab) as records:
    loop.want(lab, "moor", size=8)
    print("killed:", loop.kill(lab, when="moor", sheep_there=3))
    loop.again(lab)
print("sheep:", len(loop.sheep(lab, "moor")), "of 8")

# %%
# !labs kubectl -n {lab.namespace} get deployment shepherd
# !labs kubectl -n {lab.namespace} get configmap book -o jsonpath={{.data}}

# %%
journal.story(records, "The successor, after the kill")

# %% [markdown]
# The Deployment is as green as can be: 1 of 1 ready. The successor was called, read the book, and was content. It
# will be content for ever. The book says "done", and it was written when the work *began*. (Written at the end it
# would be wrong in another way. Think of the wolf.)
#
# That is enough of it. The bookkeeper, its flock and what is in the book are put away, and your own shepherd works
# again until there is a better one:

# %%
bookkeeper.stop()
loop.clear(lab, "moor")
loop.steal(lab, "book")
lab.apply(lab.read("start/book.yaml"))
lab.deploy(reconcile, name="shepherd")

# %% [markdown]
# ## Your turn: `o2-resync`
#
# **Mend `by_the_book` so that it survives a kill at any moment**: whatever was half done gets done, and what happened
# while it was dead or busy is put right. The check breaks things: it makes a Flock of its own, kills your shepherd's
# Pod in the middle of the work, takes a sheep while nobody watches, and takes another one later.
#
# Keep `writes_per_second=5`, or there is no middle to be killed in.


# %% exercise="o2-resync"
def wanted_of(flock):
    """The sheep that a Flock wants: name -> ConfigMap."""
    meta = flock["metadata"]
    owner = {"apiVersion": flock["apiVersion"], "kind": "Flock", "name": meta["name"], "uid": meta["uid"]}
    metadata = {"labels": {"flock": meta["name"]}, "ownerReferences": [owner | {"controller": True}]}
    data = {"colour": flock["spec"]["colour"]}
    names = [f"{meta['name']}-{number}" for number in range(flock["spec"]["size"])]
    return {name: {"metadata": metadata | {"name": name}, "data": data} for name in names}


### BEGIN SOLUTION: # YOUR SHEPHERD HERE; then lab.deploy(tend, name="shepherd", writes_per_second=5)
def tend(core, flock):
    """Counts the sheep each time; there is nothing to remember that cannot be looked at."""
    meta = flock["metadata"]
    names = {each.metadata.name for each in core.list_namespaced_config_map(meta["namespace"]).items}
    for name, sheep in wanted_of(flock).items():
        if name not in names:
            core.create_namespaced_config_map(meta["namespace"], sheep)


lab.deploy(tend, name="shepherd", writes_per_second=5)
### END SOLUTION

# %%
lab.check("o2-resync")

# %% [markdown]
# What a controller needs to know can be looked at. What it notes elsewhere is a copy, which can be old, and it *will*
# be old at the worst moment. If something must be remembered, it is written where others can see it and where it is
# compared with the world and not believed: a `status`. That, and what to do before something is deleted, is lab O3.

# %%
lab.progress()

# %% [markdown]
# ## What you can now explain
#
# - List and watch share one counter. A watch that ends is taken up from the last version; a version that has expired
#   (410) means a new list, and what is not in it is gone.
# - An edge-triggered controller is right until the first event that it misses, and wrong from then on. A
#   level-triggered one looks at the state, so that lost, repeated and collapsed events change nothing.
# - A reconcile compares before it writes. Called twice, it writes once.
# - Owner references let the garbage collector clean up: same namespace, by uid.
# - Optimistic concurrency: bring the version along, expect 409, read again, compute again.
# - How to tell a controller that has recovered from one that only runs.
