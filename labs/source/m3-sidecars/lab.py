# %% [markdown]
# # Sidecars
#
# In lab M2 one proxy stood in front of one service, and whoever knew the way around it could take it. A mesh puts a
# proxy beside *every* application, into the same Pod, and sees to it that nothing comes in or goes out without passing
# it. The application is not asked, and not changed. In this lab you find out how that is done, by doing it: who puts
# the proxy there, how connections get into it, and what happens when a part of all this is not there.

# %%
from labsupport.course import lab
from labsupport.course.lessons import sidecars

lab.start("m3")

# %% [markdown]
# ## A Pod with company
#
# Your namespace belongs to the mesh: it has the label `mesh.labs.example/inject: "true"`. Two Deployments were applied
# to it, a `ledger` and a `till`, and neither of their manifests mentions a proxy. Look at their Pods:

# %%
print(lab.read("start/shop.yaml").split("---")[2])

# %%
sidecars.pods(lab)

# %% [markdown]
# Two init containers have come along, and they stand *before* the till's own `prepare`. `mesh-capture` runs once and
# ends. `mesh-proxy*` is Envoy, with a small helper; the star says that it does not end. An init container with
# `restartPolicy: Always` is what Kubernetes calls a **sidecar**: it starts in its turn, the next one starts once it
# has started, and it stays as long as the Pod does. Why not an ordinary container, beside the others? Try both, with
# Jobs:

# %%
lab.apply(lab.read("start/jobs.yaml"))

# %%
# !labs kubectl -n {lab.namespace} wait --for=condition=Complete job/with-a-sidecar --timeout=30s
# !labs kubectl -n {lab.namespace} get jobs,pods -l batch.kubernetes.io/job-name

# %% [markdown]
# In both, the work was done in a moment. The Job with an ordinary second container goes on for ever (`1/2`,
# `NotReady`), since a Pod has completed when *all* its containers have, and a proxy never does. The other Job is
# complete: kubelet ends sidecars when the last ordinary container has ended. It also had a proxy that worked before
# its first request. For years meshes had neither, and a great many shell loops around it.

# %%
# !labs kubectl -n {lab.namespace} delete jobs --all

# %% [markdown]
# And what is it good for? The ledger writes down what reaches it. Its proxy adds a header that names the caller, taken
# from the caller's certificate, which neither of the two applications has ever seen:

# %%
sidecars.who(lab)

# %% [markdown]
# ## How a connection gets into the proxy
#
# The till asked for `http://ledger/`. It did not ask for a proxy. The kernel changed the destination, in the Pod's own
# network, by rules that `mesh-capture` had written there. To watch it, here are two Pods in which a small program
# listens on several ports, 15001 and 15006 among them, and says on which one a connection *came in*. `box` has the
# mesh's rules and no proxy; `peer` has neither.

# %%
lab.apply(lab.read("start/capture.yaml"))

# %%
# !labs kubectl -n {lab.namespace} wait --for=condition=Ready pod/box pod/peer --timeout=60s
# !labs kubectl -n {lab.namespace} exec box -- nft list table ip labs_mesh

# %% [markdown]
# Read it like a list of routes: top down, and the first rule that fits decides. `return` means "leave it as it is".
# `out` is asked about each new connection that a program in the Pod makes, `in` about each that arrives in the Pod
# (those over `lo`, which never left it, are returned at once). `oifname "lo"` is true of whatever goes to the Pod
# itself: the kernel takes that way for 127.0.0.1 and for the Pod's own address alike.
#
# A **mark** is a number that a program may put on its own sockets; it is never sent anywhere. The mesh's proxy marks
# those to other Pods with `0x539`, and those to the application beside it with `0x53a`. Without any exception for the
# proxy, its own connections would be captured too. (Istio knows its proxy by a user id, 1337. That is the same idea.)
#
# Now some connections, for real:

# %%
sidecars.tried(lab, sidecars.examples(lab.world))

# %% [markdown]
# The fourth one deserves a second look. The program that made it was no proxy. It put the mark on its socket itself,
# and walked past the mesh: its container has `NET_ADMIN`, and so may. (`NET_RAW` would do, and containers have it by
# default: injection takes it from those that do not ask for it by name.) **Capture is no fence for a program that does
# not want to be captured**; what protects the *other* side is that the other side asks for a certificate.
#
# ## Your turn: `m3-capture`
#
# **Write `captured(connection)`: where does a connection of the Pod `box` come out?** It returns `15001` or `15006`,
# or `None` if the connection goes where it was going. A connection is a dictionary:
#
# | Key | Value |
# |---|---|
# | `from` | `"inside"`: a program in the Pod makes it; `"outside"`: it arrives from elsewhere |
# | `protocol` | `"tcp"` or `"udp"` |
# | `mark` | the number on its socket, 0 for none |
# | `pod` | the Pod's own address |
# | `to` | the address it is for |
# | `port` | the port it is for |
#
# The check asks about connections that you have not seen, and then makes some, to ask the kernel the same. `tried`
# takes a list of such dictionaries too, if you want to ask it first; `sidecars.connection(...)` makes one.


# %% exercise="m3-capture"
def captured(connection):
    """Where a connection of the Pod box comes out: 15001, 15006, or None for where it was going."""
    ### BEGIN SOLUTION: ...
    if connection["protocol"] != "tcp":
        return None
    if connection["from"] == "outside":
        return None if connection["port"] in (7000, 15020, 15021, 15090) else 15006
    local = connection["to"].startswith("127.")
    by_lo = local or connection["to"] == connection["pod"]
    if connection["mark"] == 0x53A:
        return None
    if connection["mark"] == 0x539:
        return 15006 if by_lo and not local else None
    if by_lo or connection["port"] == 9000:
        return None
    return 15001
    ### END SOLUTION


# %%
lab.check("m3-capture")

# %% [markdown]
# ## The proxy dies
#
# A proxy is a program, and programs die. Two more Pods: the clients `captured` and `asked`. The second one has an
# annotation, `mesh.labs.example/capture: env`. There, nothing is captured; the mesh sets environment variables and
# hopes.

# %%
lab.apply(lab.read("start/clients.yaml"))

# %%
# !labs kubectl -n {lab.namespace} wait --for=condition=Ready pod/captured pod/asked --timeout=60s
# !labs kubectl -n {lab.namespace} exec asked -c client -- env | grep -i _proxy

# %% [markdown]
# Why would anyone want that? Because capture has a price: its init container needs `NET_ADMIN`, and many clusters
# grant that to nobody. Ask yours what would happen if your namespace were held to the Pod Security Standard "baseline"
# (a dry run; nothing is changed):

# %%
# !labs kubectl label --dry-run=server --overwrite namespace {lab.namespace} pod-security.kubernetes.io/enforce=baseline

# %% [markdown]
# It counts four Pods: `box`, and the three that are captured. `asked` is not among them. There the choice is between
# the mode `env`, a capture that the node sets up instead of the Pod (a CNI plug-in), and a namespace with an
# exception.
#
# Whether a program heeds `http_proxy` is its own affair. Python's `urllib` does, its `http.client` does not, and
# nobody has ever asked a database driver. So there are three clients in the two Pods. Whom does the ledger see?

# %%
sidecars.once(lab)

# %% [markdown]
# ## Your turn: `m3-closed`
#
# Now the proxies of *both client Pods* are killed, with `kill -9`, while all three clients go on asking. The ledger
# and its proxy stay. **Whose requests go on being answered while the proxies are dead?** Such a client fails *open*:
# it works, and the mesh knows nothing of it. The others fail *closed*. Commit one of these: `"none"`, `"captured"`,
# `"heeds http_proxy"`, `"ignores http_proxy"`, `"captured and ignores http_proxy"`, `"all"`.

# %% exercise="m3-closed"
### BEGIN SOLUTION: lab.predict("m3-closed", ...)
lab.predict("m3-closed", "ignores http_proxy")
### END SOLUTION

# %%
lab.check("m3-closed")

# %%
sidecars.outage(lab)

# %% [markdown]
# Each row is one client, from left to right in time. The first two stop being answered the moment their proxy dies,
# and go on when kubelet has started a new one: **closed**. In `captured` the rules of the kernel are still there, and
# lead to a port where nobody listens. The second asks for a proxy that is not there, and says so. The third never
# noticed: **open**, and the sign shows that it was just as unknown to the ledger before.
#
# Closed means an outage of that one Pod, as long as the proxy needs to come back: about a second the first time. If it
# dies again and again kubelet waits longer each time, 10 seconds, 20, up to five minutes. That is the price. What may
# the third client be stopped by? Nothing in its own Pod. The *ledger* can insist on a certificate:

# %%
lab.apply(lab.read("start/strict.yaml"))

# %%
sidecars.once(lab)

# %% [markdown]
# This is the rule of the whole lab: what a Pod does on its way out is its own matter, and only who *receives* can
# refuse. Does that lock out somebody who was careless only? `captured` has a proxy and a certificate; let it call the
# ledger by the Pod's address instead of the Service's name:

# %%
sidecars.by_address(lab)

# %% [markdown]
# It is let in. The control plane has told each proxy which addresses are those of Pods with a proxy, so that TLS is
# spoken there by whatever name they are called. Of whom to expect at a mere address nothing is known, though: any
# identity of the mesh may answer there. (Meshes differ in this. One that knows Services only passes on what goes to a
# bare address as it is, and a strict receiver hangs up: a thing to try before you rely on it.)
#
# We take the policy away again; it comes back two exercises on.

# %%
# !labs kubectl -n {lab.namespace} delete peerauthentications.mesh.labs.example default

# %% [markdown]
# ## Who puts the proxy there?
#
# When a Pod is created, the API server asks a list of programs before it stores it: *admission*. Some of them are in
# the API server, and some are **webhooks**, programs of yours that it calls by HTTPS. A *mutating* webhook gets the
# Pod and answers with changes. The mesh's injector is one, and from here on it is yours. We take your namespace out of
# the mesh's hands, and make both Pods as they were before there was a mesh:

# %%
lab.apply(lab.read("start/outside.yaml"))

# %%
# !labs kubectl -n {lab.namespace} rollout status deployment/ledger --timeout=20s
# !labs kubectl -n {lab.namespace} rollout status deployment/till --timeout=20s

# %%
sidecars.who(lab)

# %% [markdown]
# The changes are a **JSON Patch** (RFC 6902): a list of operations, applied one after the other, each on what those
# before it left. All of them work, or the Pod is refused. You need one kind, `add`, and it has four habits:
#
# | Operation | Does |
# |---|---|
# | `{"op": "add", "path": "/spec/volumes/-", "value": V}` | puts V at the end of a list, *if there is a list* |
# | `{"op": "add", "path": "/spec/volumes/0", "value": V}` | puts V at the beginning; the others move up |
# | `{"op": "add", "path": "/spec/volumes", "value": [V]}` | makes the list; **replaces the one that was there** |
# | `{"op": "add", "path": "/metadata/labels/app", "value": "x"}` | sets one key of a map, if there is a map |
#
# In a path `/` separates. Where it is part of a name it is written `~1` (and `~` is `~0`).
#
# ## Your turn: `m3-inject`
#
# **Write `patch(pod)`: it takes a Pod that is about to be stored and returns the operations that give it its proxy.**
# The pieces are there, and they are the mesh's own:
#
# | What | Where |
# |---|---|
# | `CAPTURE` | an init container, the first of all |
# | `PROXY` | an init container, right behind it, before the Pod's own |
# | `VOLUMES` | a list of three volumes, beside the Pod's own |
# | the label `LABEL` with the value `redirect` | by it the control plane knows that this Pod can be asked for TLS |
#
# Nothing else of the Pod changes. And three kinds of Pods are left alone, by an empty list: those whose annotation
# `OPT_OUT` is `"false"`; those that have an init container of the name `mesh-proxy` already; and those with
# `hostNetwork: true`, in whose network the rules would capture the traffic of the whole node.
#
# The last two lines make your function the webhook of your namespace, and have the two Deployments make new Pods, as a
# webhook sees new ones only.

# %% exercise="m3-inject"
from labsupport.course.lessons import sidecars
from labsupport.mesh.inject import containers
from labsupport.mesh.inject.asked import Asked, Settings

CAPTURE = containers.capture_container(Asked("redirect"), Settings())
PROXY = containers.proxy_container(Asked("redirect"), Settings(), {})
VOLUMES = containers.volumes()
LABEL, OPT_OUT = "mesh.labs.example/proxy", "mesh.labs.example/inject"


def patch(pod):
    """JSON Patch operations that give a Pod its proxy; [] for one that is to be left alone."""
    ### BEGIN SOLUTION: return []  # YOUR CODE HERE
    metadata, spec = pod["metadata"], pod["spec"]
    own = spec.get("initContainers") or []
    wants = (metadata.get("annotations") or {}).get(OPT_OUT) != "false"
    if not wants or spec.get("hostNetwork") or any(each["name"] == "mesh-proxy" for each in own):
        return []

    def add(path, value):
        return {"op": "add", "path": path, "value": value}

    if own:
        operations = [add("/spec/initContainers/0", CAPTURE), add("/spec/initContainers/1", PROXY)]
    else:
        operations = [add("/spec/initContainers", [CAPTURE, PROXY])]
    if spec.get("volumes"):
        operations += [add("/spec/volumes/-", each) for each in VOLUMES]
    else:
        operations += [add("/spec/volumes", VOLUMES)]
    if metadata.get("labels"):
        operations += [add("/metadata/labels/" + LABEL.replace("/", "~1"), "redirect")]
    else:
        operations += [add("/metadata/labels", {LABEL: "redirect"})]
    return operations
    ### END SOLUTION


print(lab.deploy(patch, host="admission", name="injector"))
print(sidecars.restart(lab, "ledger", "till"))

# %%
lab.check("m3-inject")

# %%
sidecars.pods(lab)

# %%
sidecars.who(lab)

# %% [markdown]
# That is a mesh's injection. The real one (`labsupport/mesh/inject/patch.py`, not much longer than yours) differs in
# what it looks at besides: annotations, names that are taken, and one thing that you are about to miss.
#
# ## Probes
#
# The kubelet asks containers whether they are ready. It asks from the node, at the Pod's address, and it has no
# certificate of the mesh. Its question arrives like any other connection from outside: at port 15006. Here are two
# more applications, `press` and `stamps`, and your webhook gives each its proxy.

# %%
lab.apply(lab.read("start/probes.yaml"))

# %%
# !labs kubectl -n {lab.namespace} rollout status deployment/press --timeout=20s
# !labs kubectl -n {lab.namespace} rollout status deployment/stamps --timeout=20s

# %%
sidecars.pods(lab)

# %% [markdown]
# All is well, it seems. But both applications listen on 8080, and on no other port; and `stamps` is asked at 9090. Its
# probe says yes. Who has answered? A `tcpSocket` probe is content when a connection opens, and *the proxy* opens it,
# before it knows whether there is anybody to pass it on to. **Behind a capturing proxy, such a probe says yes for
# ever**: the application may have died long ago, and would still get its share of the requests.
#
# ## Your turn: `m3-probes`
#
# The cell begins by closing your namespace to all who show no certificate, and waits for what becomes of `press`. Run
# it as it is, look at both Pods, and at what the kubelet says of them (`labs kubectl describe`). Then add what is
# missing: **with `STRICT` in force, make the readiness probes of `press` and `stamps` tell the truth**. A Pod is ready
# when its application answers on 8080, and not when it does not; and callers without a certificate get no answer
# there. The proxies stay.
#
# The images have `curl`, `nc` and Python in them. Edit the text of `start/probes.yaml`
# (`print(lab.read("start/probes.yaml"))`) and apply all of it again: what an apply leaves out that the one before it
# had is removed. The check also starts copies of your Pods with a dead application in them, and looks whether their
# probes say no.

# %% exercise="m3-probes"
lab.apply(lab.read("start/strict.yaml"))
print(sidecars.noticed(lab, "press"))
### BEGIN SOLUTION: # YOUR YAML HERE, by lab.apply("""...""")
from_inside = 'exec: {command: [curl, -sf, "http://127.0.0.1:8080/healthz"]}'
manifest = lab.read("start/probes.yaml")
for from_outside in ("httpGet: {path: /healthz, port: 8080}", "tcpSocket: {port: 9090}"):
    manifest = manifest.replace(from_outside, from_inside)
lab.apply(manifest)
### END SOLUTION

# %%
lab.check("m3-probes")

# %% [markdown]
# An `exec` probe runs *in* the container. What it asks at 127.0.0.1 goes over `lo`, and you know from `captured` what
# happens there: nothing. But nobody wants to rewrite the manifests of a whole company. So a mesh's injector rewrites
# probes, as part of the patch. This is what the real one makes of `stamps` as it was:

# %%
import yaml

from labsupport.mesh.inject import probes as rewriting

stamps = list(yaml.safe_load_all(lab.read("start/probes.yaml")))[2]
rewritten = rewriting.rewrite(stamps["spec"]["template"]["spec"])
print(yaml.safe_dump(rewritten.operations))
print(yaml.safe_dump(rewritten.originals))

# %% [markdown]
# kubelet now asks the proxy's helper, at port 15020, which the rules leave alone. The helper does the real check, from
# inside, over `lo`. The answer is the application's again, and no port is open to plaintext but one at which there is
# nothing to get. (Two ways out that are none. "Let in what comes from the node's address": everything that comes by a
# NodePort has that address too. "Make that port PERMISSIVE": then it is permissive for everybody.)
#
# ## The webhook is away
#
# Your webhook is a Pod, and Pods go away. The question is what the API server does about a Pod about which it can ask
# nobody. The webhook's configuration says it. This is the one that `lab.deploy` has made for yours:

# %%
# !labs kubectl get mutatingwebhookconfiguration {lab.name("admission-injector")} -o yaml | grep -v caBundle | tail -34

# %% [markdown]
# `failurePolicy: Fail`: a Pod about which nobody can be asked is refused. `Ignore` would store it without its proxy,
# where it answers anybody, is refused by every strict peer, and stays so long after the webhook has come back, since a
# webhook sees only new Pods. So a mesh chooses `Fail`, and has to be careful about *whose* Pods it is asked for.
#
# A colleague has cleaned up. There was a selector that nobody could explain, so it went:

# %%
lab.apply(lab.read("start/simplified.yaml"))

# %% [markdown]
# Nothing happened. Everything works, new Pods get their proxy, for days. Then the webhook's Pod is gone. A node was
# drained, say; it does not matter why.

# %%
# !labs kubectl -n {lab.namespace} delete pod -l labs.example/deployed=injector
# !labs kubectl -n {lab.namespace} wait --for=condition=ReplicaFailure deployment/injector --timeout=30s
# !labs kubectl -n {lab.namespace} get deployment injector
# !labs kubectl -n {lab.namespace} get rs -l labs.example/deployed=injector -o jsonpath='{{..conditions[*].message}}'

# %% [markdown]
# Zero Pods, and there will never be one: before the API server creates the webhook's Pod, it has to ask the webhook.
# While it is like that, no other Pod of your namespace can be created either. Somebody has to get up at night, find
# out why, and open the door for a minute:

# %%
lab.apply(lab.read("start/simplified.yaml").replace("failurePolicy: Fail", "failurePolicy: Ignore"))

# %%
# !labs kubectl -n {lab.namespace} scale deployment injector --replicas=0
# !labs kubectl -n {lab.namespace} scale deployment injector --replicas=1
# !labs kubectl -n {lab.namespace} rollout status deployment/injector --timeout=20s

# %%
lab.apply(lab.read("start/simplified.yaml"))

# %% [markdown]
# (The scaling is for impatience: a ReplicaSet that has failed to create its Pod tries again later and later, up to
# many minutes. Another number makes it try at once.) Now everything is as it was. Until the next time.
#
# ## Your turn: `m3-outage`
#
# **Give the configuration back what it needs, so that the webhook survives its own absence.** Edit the text of
# `start/simplified.yaml` (`print(lab.read("start/simplified.yaml"))`) and apply it under the same name. What must
# hold, and what the check tries by taking the webhook's Pod away: Pods of other namespaces can be created meanwhile;
# Pods of yours are refused, and not stored without a proxy; the webhook's own Pod comes back without anybody's help;
# then new Pods get their proxy again. Its Pods, and no others, have the label `labs.example/deployed`.

# %% exercise="m3-outage"
### BEGIN SOLUTION: # YOUR YAML HERE, by lab.apply("""...""")
others = "    objectSelector: {matchExpressions: [{key: labs.example/deployed, operator: DoesNotExist}]}"
lab.apply(lab.read("start/simplified.yaml") + others)
### END SOLUTION

# %%
lab.check("m3-outage")

# %% [markdown]
# The same care is in the mesh's own configuration. Its selector asks for a label that no namespace has by itself, it
# leaves out `labs-system`, where the control plane runs, and the namespaces of Kubernetes, whatever their labels are.
# Look for those lines:

# %%
# !labs kubectl get mutatingwebhookconfiguration mesh-injector -o yaml | grep -v caBundle | tail -45

# %% [markdown]
# ## What you can now explain
#
# - A sidecar is an **init container that stays**: it is there before the application, goes after it, and lets Jobs
#   end.
# - The kernel brings connections into the proxy by a few rules in the Pod's own network. The exceptions are the
#   interesting part: the proxy's own connections, by their mark; what goes to the Pod itself; ports that are asked
#   from outside without a certificate.
# - A dead proxy fails **closed** where the kernel captures, and **open** for a program that ignores `http_proxy`. Only
#   the receiver can insist.
# - Injection is a mutating webhook that answers with a JSON Patch. What is not there cannot be added to.
# - Behind a proxy that accepts for the application, `tcpSocket` probes say yes for ever, and under strict mTLS the
#   kubelet gets no answer. Probes must ask from inside; a mesh rewrites them.
# - `failurePolicy: Fail` makes the webhook a part of every Pod's creation: select as little as you can, and never the
#   webhook itself.
