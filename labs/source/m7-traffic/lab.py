# %% [markdown]
# # Traffic
#
# Who may call whom is settled (lab M6). This lab is about what becomes of a call that may be made: to which version it
# goes, to which Pod, and what happens when one of them is ill. You split traffic, write the function that leads a
# canary from 1 % to 100 % and stops by itself, and keep customers from noticing a broken Pod. All of it is said to
# the proxies of the *callers*; no application is changed.

# %%
from labsupport.course import lab

lab.start("m7")

# %% [markdown]
# There are two versions of the shop's front door, each with a Service of its own (`web-v1`, `web-v2`), and the Service
# `web`, which leads to both. So far the mesh balances by requests:

# %%
lab.load("http://web/", requests=400, connections=4).result["by_version"]

# %% [markdown]
# ## `m7-split`: testers first, and one customer in ten
#
# An **HTTPRoute** says what becomes of requests. You know it from gateways; its parent may be a Service just as well,
# and then it holds for calls of this Service in the mesh. **Write one for `web`:** who sends the header `x-tester:
# yes` gets version 2; of all others one in ten does, and the rest get version 1.

# %% exercise="m7-split"
### BEGIN SOLUTION: # YOUR YAML HERE, by lab.apply("""...""")
lab.apply("""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: web
spec:
  parentRefs:
    - {group: "", kind: Service, name: web}
  rules:
    - matches:
        - headers:
            - {name: x-tester, value: "yes"}
      backendRefs:
        - {name: web-v2, port: 80}
    - backendRefs:
        - {name: web-v1, port: 80, weight: 90}
        - {name: web-v2, port: 80, weight: 10}
""")
### END SOLUTION

# %%
lab.check("m7-split")

# %%
# !labs kubectl -n {lab.namespace} get httproutes
# !labs mesh routes -n {lab.namespace}

# %% [markdown]
# ## A rollout, led by you
#
# Ten per cent are an experiment; then comes the rest, and somebody has to watch. For that there is a small program:
# it sets the weights of the route `web`, sends 400 requests through its own proxy, counts by version what came back,
# and asks a function how to go on. So that it begins with the same route for everybody:

# %%
lab.apply(lab.read("start/rollout.yaml"))

# %% [markdown]
# The function is called `decide(weight, stable, canary)`:
#
# - `weight` is what the canary gets now, in percent; a rollout begins with 1.
# - `stable` and `canary` are pairs: how many requests this version has had since the weight was changed last, and how
#   many of them failed.
# - It returns the next weight: the same (look at 400 more requests first), a larger one, or 0 (withdraw it). When it
#   has been asked at 100 and does not withdraw, the canary is promoted.
#
# ## `m7-canary`: a canary that stops by itself
#
# In this shop one request in two hundred fails, and nobody minds. **Write `decide` so that**
#
# - a canary that fails as seldom as stable is promoted, within 60 looks;
# - one that fails one request in ten is withdrawn before it has more than 30 %, and so is one that fails all;
# - a canary is not blamed for what stable has as well: if both fail one in ten, the rollout goes on;
# - a canary that no request has reached gets no more than it had.
#
# Chance is in it, so once in a thousand rollouts it may go wrong. (How many of 400 requests does a canary have at 1 %?
# And how many of them fail, if one in ten does?)

# %% exercise="m7-canary"
from math import sqrt

NEXT = {1: 10, 10: 30, 30: 60, 60: 100, 100: 100}


def decide(weight, stable, canary):
    """How many percent the canary gets next."""
    ### BEGIN SOLUTION: return weight
    if weight == 100:
        return 100
    requests, errors = canary
    ratio = requests / (stable[0] + 1)
    expected = (stable[1] + 1) * ratio  # if it were as good as stable
    # Chance is in both counts: in the canary's, and in that which is expected.
    if errors > expected + 5 * sqrt(expected * (1 + ratio)) + 3:
        return 0
    if requests < (20 if weight == 1 else 200):
        return weight
    return NEXT[weight]
    ### END SOLUTION


# %% [markdown]
# A rollout can be drawn, without a cluster: 400 requests before each look, a canary of which one request in ten fails.

# %%
import random

from labsupport.shop import rollout

requests = rollout.simulated(0.005, 0.1, 400, random.Random(7))
drawn = rollout.roll_out(decide, requests)
for look in drawn.looks[:12]:
    counts = f"stable {tuple(look.stable)}  canary {tuple(look.canary)}"
    print(f"{look.weight:3} %  {counts}  -> {look.said}")
print(drawn.ended)

# %% [markdown]
# When you like what it does, have it lead real ones. The check draws 120 rollouts of each kind, and makes two on the
# cluster.

# %% exercise="m7-canary"
lab.deploy(decide, host="canary", name="canary")

# %%
lab.check("m7-canary")

# %% [markdown]
# And look at one yourself. Version 2 is well:

# %%
from labsupport.course.lessons import canary

canary.roll_out(lab.api, lab.namespace)

# %% [markdown]
# The canary has all requests now, as it should be. For what follows, the route is put back to where it began.

# %%
lab.apply(lab.read("start/rollout.yaml"))

# %% [markdown]
# ## `m7-balance`: the share of a slow Pod
#
# Now one service with three Pods, the inventory. By default the mesh's proxies draw two of the Pods and take the one
# with fewer requests open (*least request*). One Pod becomes slow: it answers after 200 ms, the others after some 5.
# A caller has eight requests open at a time. **Which share of the requests does the slow Pod get?** Commit one of
# these: `"about a third"`, `"a few per cent"`, `"none at all"`.

# %% exercise="m7-balance"
### BEGIN SOLUTION: guess = None  # one of the three texts
guess = "a few per cent"
### END SOLUTION
lab.predict("m7-balance", guess)

# %%
lab.check("m7-balance")

# %%
from labsupport.course.lessons import faults

slow = faults.ready_pods(lab.api, lab.namespace, "app=inventory")[0]
faults.change(lab.api, lab.namespace, slow, "inventory", latency_ms=200)
lab.load("http://inventory/stock/tea", requests=600, connections=8)

# %% [markdown]
# With round robin, every Pod gets its turn, also the slow one. Compare how long the whole takes:

# %%
ROUND_ROBIN = """
apiVersion: mesh.labs.example/v1alpha1
kind: TrafficPolicy
metadata:
  name: turns
spec:
  targetRefs:
    - {group: "", kind: Service, name: inventory}
  loadBalancing: {policy: RoundRobin}
"""
lab.apply(ROUND_ROBIN)
lab.load("http://inventory/stock/tea", requests=600, connections=8)

# %%
from labsupport import kube

turns = {
    "apiVersion": "mesh.labs.example/v1alpha1",
    "kind": "TrafficPolicy",
    "metadata": {"name": "turns"},
}
kube.delete(lab.api, [turns], namespace=lab.namespace)
faults.change(lab.api, lab.namespace, slow, "inventory", latency_ms=0)

# %% [markdown]
# ## `m7-retries`: what trying again costs
#
# Now a dependency that is down: each Pod of the inventory answers 503, whatever it is asked. A proxy can try again
# what failed, and nobody has to write that loop into an application (lab M1). This says how often:

# %%
print(lab.read("start/again.yaml"))

# %% [markdown]
# Customers count requests, Pods count tries. The customers send 300 requests, 30 at a time. **How many requests do the
# three Pods see together? And how many, if of those that are open at a time at most one in five may be a retry (a
# *budget* of 20 per cent)?** Commit one of these: `"1200, and 1200"`, `"1200, and 300"`, `"1200, and less than 400"`,
# `"400, and 300"`.

# %% exercise="m7-retries"
### BEGIN SOLUTION: guess = None  # one of the four texts
guess = "1200, and less than 400"
### END SOLUTION
lab.predict("m7-retries", guess)

# %%
lab.check("m7-retries")

# %%
here = (lab.api, lab.namespace)
pods = faults.ready_pods(*here, "app=inventory")
for pod in pods:
    faults.change(*here, pod, "inventory", error_rate=1, latency_ms=20)


def seen():
    """How many requests the Pods of the inventory have had."""
    return sum(faults.requests(*here, pod, "inventory") for pod in pods)


for policy in ("start/again.yaml", "start/budget.yaml"):
    lab.apply(lab.read(policy))
    before = seen()
    came = lab.load("http://inventory/stock/tea", requests=300, connections=30)
    print(f"{policy}: {came.ok} of 300 were served; the Pods saw {seen() - before}")

# %% [markdown]
# No customer got anything, either way. But what is down, or near it, had four times the work without a budget. The
# policy goes, and the Pods are well again:

# %%
again = {**turns, "metadata": {"name": "again"}}
kube.delete(lab.api, [again], namespace=lab.namespace)
for pod in pods:
    faults.change(*here, pod, "inventory", error_rate=0, latency_ms=0)

# %% [markdown]
# ## `m7-timeout`: how long is too long
#
# What is down says so at once. What hangs takes its callers with it: their threads, their connections, their customers'
# patience. Neither Kubernetes nor the mesh ends a wait that nobody has limited. **See to it that**
#
# - who calls the inventory has an answer or an error within one second, whatever the Pods do;
# - a Pod that has not answered after 300 ms is not waited for: the request is made again, at another Pod, as long as
#   the second lasts;
# - a Pod that takes 150 ms is not too slow.
#
# Routes and traffic policies both have a word in it. The check has Pods hang, and looks at the clock.

# %%
# !labs kubectl explain httproute.spec.rules.timeouts
# !labs kubectl explain trafficpolicy.spec.retries

# %% exercise="m7-timeout"
### BEGIN SOLUTION: # YOUR YAML HERE, by lab.apply("""...""")
lab.apply("""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: inventory
spec:
  parentRefs:
    - {group: "", kind: Service, name: inventory}
  rules:
    - backendRefs:
        - {name: inventory, port: 80}
      timeouts: {request: 1s, backendRequest: 300ms}
---
apiVersion: mesh.labs.example/v1alpha1
kind: TrafficPolicy
metadata:
  name: inventory
spec:
  targetRefs:
    - {group: "", kind: Service, name: inventory}
  retries:
    attempts: 3
    when: [Reset]
""")
### END SOLUTION

# %%
lab.check("m7-timeout")

# %% [markdown]
# One Pod hangs for two seconds. Who meets it, waits for 300 ms and is served by another:

# %%
faults.change(lab.api, lab.namespace, slow, "inventory", latency_ms=2000)
lab.load("http://inventory/stock/tea", requests=40, connections=2)

# %%
faults.change(lab.api, lab.namespace, slow, "inventory", latency_ms=0)

# %% [markdown]
# ## `m7-outlier`: one of three is broken
#
# One Pod of three now answers 503, and at once. It never has many requests open, so least request *likes* it. Its
# health page is fine, so kubelet keeps it in the Service. **See to it that customers hardly notice: few requests fail
# while one of the three Pods answers nothing but 503, that Pod is hardly asked, and it is asked again soon after it is
# well.** The check breaks a Pod, and mends it. A `TrafficPolicy` has something for it. (Of a Service one policy holds,
# and nothing is merged: what is new goes into the one that you have.)

# %%
# !labs kubectl explain trafficpolicy.spec.outlier

# %% exercise="m7-outlier"
### BEGIN SOLUTION: # YOUR YAML HERE, by lab.apply("""...""")
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: TrafficPolicy
metadata:
  name: inventory
spec:
  targetRefs:
    - {group: "", kind: Service, name: inventory}
  retries:
    attempts: 3
    when: [Reset]
  outlier:
    consecutiveErrors: 3
    interval: 1s
    baseEjection: 3s
""")
### END SOLUTION

# %%
lab.check("m7-outlier")

# %% [markdown]
# ## What you can now explain
#
# - A route in the mesh is attached to a Service and obeyed by its callers, request by request.
# - A canary is judged against stable at the same time, by counts that are large enough for the difference that matters.
# - A balancer that looks at open requests spares slow Pods and is drawn to those that fail quickly.
# - Retries multiply the load on what fails; a budget limits them, and a limit of time ends them.
# - A request has two clocks, one for the whole and one for each try, and neither runs until somebody sets it.
# - Ejection finds by answers what probes cannot see; retries save a request, and do not stop asking.
