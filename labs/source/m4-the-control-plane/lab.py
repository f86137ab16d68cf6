# %% [markdown]
# # The control plane
#
# In M2 you wrote down where a proxy finds the Pods of a service, and a minute later it was wrong. "A control plane is
# a loop, not a script", it said there. In this lab you write what is inside the loop: the function that turns what
# Kubernetes knows into what a proxy needs. It will drive a real Envoy over the protocol that Istio, Consul and the
# mesh of this course use. Then you find out what makes such a thing hard: the order of things, answers that are "no",
# and the hours in which the control plane itself is away.

# %%
from labsupport import kube
from labsupport.course import lab
from labsupport.course.lessons import controlplane as control

lab.start("m4")

# %% [markdown]
# ## A proxy that knows one address
#
# You know the services `web` (two Pods) and `web-next` (one Pod, version 2). There is an HTTPRoute too, the Gateway
# API's object for "these requests go there". Its parent is a Service, which means: it is about requests *to* that
# Service. And there is a `proxy`, an Envoy. Here is all that it has been told:

# %%
print(lab.read("start/proxy.yaml").split("---")[0])

# %% [markdown]
# No listener, no route. There is one cluster, `control`, and the order to ask it for everything else: for clusters
# (CDS), for listeners (LDS), and by these for endpoints (EDS) and routes (RDS). All four come over one gRPC stream,
# which is called *ADS*, aggregated discovery.
#
# At that address, a Service `snapshot`, nobody listens yet. What does the proxy do?

# %%
lab.proxy().ask("/", headers={"Host": "web"})

# %% [markdown]
# It has not opened its port. The kubelet calls the Pod ready all the same; remember that, we come back to it.
#
# In the namespace is all that is needed to do better. These are the objects, as your function will get them:

# %%
services, slices, routes = control.objects(lab)
for each in [*services, *slices, *routes]:
    print(each["kind"], each["metadata"]["name"])

# %%
import yaml

for found, name in ((services, "web"), (routes, "web")):
    print(yaml.safe_dump(next(each["spec"] for each in found if each["metadata"]["name"] == name)))

# %% [markdown]
# ## Your turn: `m4-snapshot`
#
# **Write `snapshot(services, slices, routes)`: from all Services, EndpointSlices and HTTPRoutes of a namespace to the
# whole configuration of a proxy**, as plain dictionaries in Envoy's words. This is the shape of it; what Envoy wants
# to be nested five levels deep is made by the helpers in the cell:
#
# ```python
# {
#     "listeners": [listener("shop")],
#     "clusters": [cluster("web/80")],
#     "endpoints": [{"cluster_name": "web/80", "endpoints": [{"lb_endpoints": [endpoint("10.1.2.3", 8080)]}]}],
#     "routes": [{"name": "shop", "virtual_hosts": [
#         {"name": "web/80", "domains": ["web", "web:80"], "routes": [
#             {"match": {"prefix": "/"}, "route": {"cluster": "web/80"}},
#         ]},
#     ]}],
# }
# ```
#
# - **Who is asked for.** The proxy decides by the header `Host`. Each port of each Service is a *virtual host* with the
#   domain `NAME:PORT`; port 80 can do without the number, so `NAME` is a domain of it too.
# - **Who may be asked.** Each port is a cluster with endpoints. Which those are you know from M2: all slices with the
#   label `kubernetes.io/service-name`, the port *of the slice* that has the same name as the port of the Service, an
#   endpoint that is ready or does not say, each once. A Service with nobody behind it has a cluster too, and its
#   assignment is empty.
# - **Without HTTPRoutes** all requests to a Service go to its cluster. **With routes** (any whose `parentRefs` name it,
#   `kind: Service`) only their rules count; a request that none is for gets a 404, which Envoy does by itself.
# - **A rule** is for requests that meet one of its `matches`; without any, for all. A match has a `path` of a `type`
#   (`Exact`, `RegularExpression`, `PathPrefix` which goes by whole parts of a path, with or without a `/` at its end)
#   and `headers` with exact values. In Envoy's words these are `path`, `safe_regex`, `path_separated_prefix` and
#   `headers`, as in M2. Two things to know about `path_separated_prefix`: it must not end with `/`, and so it cannot
#   say "everything".
# - **The order** in which rules stand means nothing in the Gateway API. The most special match wins: `Exact`, then
#   prefixes, then regular expressions (the API leaves their place to whoever implements it; this is where the mesh of
#   this course has them), and last the prefix `/`, which is everything. Of one kind the longer one is first; then the
#   one with more headers. Envoy takes the first route that matches.
# - **Where to.** `backendRefs` name Services with a `port` and a `weight` (1 if it is not said; in Envoy
#   `weighted_clusters: {clusters: [{name: ..., weight: ...}]}`). A backend that does not exist, or has the weight 0,
#   gets nothing. If that leaves nobody, the answer is a 500, given by the proxy itself (`direct_response`).
#
# The objects come **in no particular order**, and for the same objects you return the same snapshot, to the letter.
#
# The last line puts your function into a Pod. A host program there watches the three kinds, calls you at every change,
# and serves proxies with what you return. The connection is plain gRPC: nothing secret goes over it, and nobody has an
# identity yet. (That changes in M5. The mesh of this course speaks mTLS here, and gives each proxy only its own.)

# %% exercise="m4-snapshot"
ADS = {"ads": {}, "resource_api_version": "V3"}  # "ask where you asked for me"
FILTERS = "type.googleapis.com/envoy.extensions.filters"


def listener(name):
    """A listener on port 10000 that speaks HTTP and asks for the route configuration of its own name."""
    router = {"@type": f"{FILTERS}.http.router.v3.Router"}
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": name, "config_source": ADS},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    address = {"socket_address": {"address": "0.0.0.0", "port_value": 10000}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def cluster(name):
    """A cluster that asks for its endpoints, under its own name."""
    return {"name": name, "type": "EDS", "eds_cluster_config": {"eds_config": ADS}, "connect_timeout": "1s"}


def endpoint(address, port):
    """One endpoint of an assignment."""
    return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}


def name_of(thing):
    """The name of an object."""
    return thing["metadata"]["name"]


### BEGIN SOLUTION: def snapshot(services, slices, routes): ...
def assignment(slices, service, port):
    """The endpoints of a port of a Service."""
    found = set()
    for each in slices:
        if each["metadata"]["labels"].get("kubernetes.io/service-name") != name_of(service):
            continue
        for own in each.get("ports") or []:
            if (own.get("name") or "") == port.get("name", ""):
                for one in each.get("endpoints") or []:
                    if (one.get("conditions") or {}).get("ready") is not False:
                        found.add((one["addresses"][0], own["port"]))
    return {
        "cluster_name": f"{name_of(service)}/{port['port']}",
        "endpoints": [{"lb_endpoints": [endpoint(*each) for each in sorted(found)]}],
    }


# In the order in which Envoy is to ask.
SPECIAL = ("path", "path_separated_prefix", "safe_regex", "prefix")


def condition(match):
    """How special a match is (smaller is asked first), and the match in Envoy's words."""
    path = match.get("path") or {}
    kind, value = path.get("type"), path.get("value", "/")
    headers = [
        {"name": each["name"], "string_match": {"exact": each["value"]}}
        for each in match.get("headers") or []
    ]
    if kind == "Exact":
        word, what = "path", value
    elif kind == "RegularExpression":
        word, what = "safe_regex", {"regex": value}
    else:
        value = value.rstrip("/")
        word, what = ("path_separated_prefix", value) if value else ("prefix", "/")
    return (SPECIAL.index(word), -len(value), -len(headers)), {word: what, "headers": headers}


def action(rule, known):
    """Where the requests of a rule go."""
    weights = {}
    for each in rule.get("backendRefs") or []:
        name, weight = f"{each['name']}/{each.get('port')}", each.get("weight", 1)
        if name in known and weight > 0:
            weights[name] = weights.get(name, 0) + weight
    if not weights:
        return {"direct_response": {"status": 500}}
    shares = [{"name": name, "weight": weight} for name, weight in sorted(weights.items())]
    return {"route": {"weighted_clusters": {"clusters": shares}}}


def virtual_host(service, port, routes, known):
    """What becomes of the requests for a port of a Service."""
    name = name_of(service)
    own = f"{name}/{port['port']}"
    attached = [
        each
        for each in sorted(routes, key=name_of)
        if any(ref.get("kind") == "Service" and ref["name"] == name for ref in each["spec"]["parentRefs"])
    ]
    found = []
    for each in attached:
        for rule in each["spec"].get("rules") or []:
            for match in rule.get("matches") or [{}]:
                order, words = condition(match)
                found.append((order, {"match": words, **action(rule, known)}))
    found.sort(key=lambda each: each[0])
    if not attached:
        found = [((), {"match": {"prefix": "/"}, "route": {"cluster": own}})]
    domains = [f"{name}:{port['port']}"] + ([name] if port["port"] == 80 else [])
    return {"name": own, "domains": domains, "routes": [each for _, each in found]}


def snapshot(services, slices, routes):
    """The configuration of a proxy."""
    ports = [
        (service, port)
        for service in sorted(services, key=name_of)
        for port in service["spec"].get("ports") or []
    ]
    known = {f"{name_of(service)}/{port['port']}" for service, port in ports}
    hosts = [virtual_host(service, port, routes, known) for service, port in ports]
    return {
        "listeners": [listener("shop")],
        "clusters": [cluster(name) for name in sorted(known)],
        "endpoints": [assignment(slices, service, port) for service, port in ports],
        "routes": [{"name": "shop", "virtual_hosts": hosts}],
    }


### END SOLUTION
lab.deploy(snapshot, host="snapshot")

# %% [markdown]
# What `lab.deploy` returns says where your function raised, if it did. And the host keeps a record of what it says to
# the proxy, and of what it hears:

# %%
control.conversation(lab)

# %%
lab.check("m4-snapshot")

# %%
lab.proxy().map()

# %% [markdown]
# ## Listen to them
#
# When it passes, go back to the conversation. Read the names in the order in which they come. The proxy asks for *all*
# clusters and *all* listeners. The clusters say that their endpoints come separately, so it asks for those, by name;
# the listener says the same of its routes. To each response it answers: an **ACK** says "taken", with the number of the
# response. You will meet the other answer later.
#
# A cluster is not used before its endpoints are there; it *warms up*. That is why an empty assignment matters: with
# it, a request gets a quick "nobody there"; without it, Envoy goes on waiting (for 15 s, if nothing else is said), and
# an Envoy that has only just started opens no port before that.
#
# Your dictionaries were made into messages of Envoy's by the host. A key that Envoy does not have gets no further: the
# host says which resource it is in, and goes on with what it had. In a file, in M2, Envoy passed over the same mistake.
#
# And how fast is it? Requests for `/next`, one after the other, while the rule that sends them to version 2 goes away:

# %%
with control.recorded(lab) as told, control.asking(lab, "web", "/next") as answers:
    lab.apply(lab.read("start/route.yaml").replace("/next", "/later"))
answers

# %%
control.story(told)

# %% [markdown]
# From the call of your function to the ACK it takes a few milliseconds; what you see in the upper table is mostly the
# way of the requests themselves through the API server, and the 30 ms for which the host waits whether more changes
# are to come. In M2, with a file in a ConfigMap, it was a second at best, and a minute without help. The route goes
# back to what it was:

# %%
lab.apply(lab.read("start/route.yaml"))

# %% [markdown]
# ### When your function raises
#
# Objects are written by people. Some day there will be one that your function was not made for. Here is one that
# believes that every Service has a selector:


# %%
def fragile(services, slices, routes):
    for each in services:
        print(each["spec"]["selector"])
    return snapshot(services, slices, routes)


plane = lab.deploy(fragile, host="snapshot", name="snapshot")
plane

# %%
lab.apply("""
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec:
  ports: [{name: http, port: 80}]
""")
with control.asking(lab, "web", "/later", after=0.5) as answers:
    lab.apply(lab.read("start/route.yaml").replace("/next", "/later"))
print(answers)
control.deployed(lab)

# %% [markdown]
# Nobody was hurt: the host caught the exception, kept the last good snapshot, and told. But look at what is missing:
# the change of `web`'s route, which has nothing to do with `elsewhere`, is not obeyed either. Everything that changes
# from now on waits for the one object that nobody thinks of. (A first control plane often does not even catch it.
# Then the exception ends the stream, and every proxy that starts from then on is empty.)
#
# The way out is to make what is separate fail separately. The mesh of this course translates each Service for itself,
# and if one fails, that one stays as it was. The object goes, and your own function is back at work:

# %%
plane.stop()
control.remove(lab, "Service", "elsewhere")
lab.apply(lab.read("start/route.yaml"))
lab.deploy(snapshot, host="snapshot")

# %%
control.conversation(lab)

# %% [markdown]
# ## Nothing is sent twice
#
# Look at that last conversation. It is with a *new* process, which has never spoken to this proxy. And yet it sends
# next to nothing. The proxy began by telling what it has, with versions, and the versions are no counters: each is a
# digest of the resource's content. The same content has the same version, whoever computes it. So a control plane may
# be restarted, and a thousand proxies come back, and hardly a byte is sent.
#
# (What was sent is about the control plane's own Service: its Pod has a new address.)
#
# ## Your turn: `m4-change`
#
# Your function is called with all objects and returns everything, every time. Now `web` gets a third Pod. **How many
# resources does the control plane send to the proxy because of it**, all in all? A resource is a cluster, an assignment
# of endpoints, a listener or a route configuration. Commit a number.

# %% exercise="m4-change"
### BEGIN SOLUTION: lab.predict("m4-change", ...)  # RESOURCES
lab.predict("m4-change", 1)
### END SOLUTION

# %%
with control.recorded(lab) as told:
    control.scale(lab, "web", 3)
control.story(told)

# %%
lab.check("m4-change")

# %% [markdown]
# Your function was called more than once: first there was an endpoint that is not ready, and the snapshot came out as
# it had been. Nothing was sent. Then the endpoint was ready, and one assignment had changed; that one was sent. This
# is the *incremental* variant of the protocol (`DELTA_GRPC` in the proxy's file). In the older one, which is called
# state of the world, a change of one assignment sends all of them: with a thousand Services a thousand.
#
# The price is that "the same" must be the same **to the letter**. Here is the same function, with endpoints in
# whatever order a set has them:

# %%
import random
import time


def careless(services, slices, routes):
    found = snapshot(services, slices, routes)
    for each in found["endpoints"]:
        for one in each["endpoints"]:
            random.shuffle(one["lb_endpoints"])
    random.shuffle(found["routes"][0]["virtual_hosts"])
    return found


plane = lab.deploy(careless, host="snapshot", name="snapshot")
control.conversation(lab)

# %%
with control.recorded(lab) as told:
    for value in ("one", "two", "three"):
        service = f"/api/v1/namespaces/{lab.namespace}/services/web-next"
        kube.patch(lab.api, service, {"metadata": {"annotations": {"note": value}}})
        time.sleep(0.2)
control.story(told)

# %% [markdown]
# An annotation that means nothing to any proxy was changed three times, and things are sent, to each proxy, again and
# again. Nothing is wrong with any request. It costs the processor of every proxy, and it hides the changes that matter.
# Back to the careful one, and to two Pods:

# %%
plane.stop()
control.scale(lab, "web", 2)
lab.deploy(snapshot, host="snapshot")

# %% [markdown]
# ## Make before break
#
# Four types of resources refer to one another: a listener to routes, a route to clusters, a cluster to endpoints. They
# are sent one type after the other. So there are moments between, and in these the proxy serves with something that is
# neither the old nor the new.
#
# `version 2` is to get another name. A Service `web-v2` is made for the same Pods, the route leads there, and the
# Service `web-next` is deleted. One cluster comes, one goes, one route configuration changes.
#
# So far the host has taken care of the order. Now it lets you decide: with the setting `paced` it calls a function that
# returns **pushes**, one after the other, and waits so many seconds after each. In real life those moments are
# milliseconds long. With thousands of requests in each second somebody meets them all the same; 0.3 s make them
# visible for us.


# %%
def named(found):
    """A snapshot by type and name: {"clusters": {"web/80": {...}}, "endpoints": ..., ...}."""
    return {
        kind: {each["cluster_name" if kind == "endpoints" else "name"]: each for each in resources}
        for kind, resources in found.items()
    }


def top_down(before, after):
    """Who is asked first by a request is sent first."""
    found = []
    for kind in ("listeners", "routes", "clusters", "endpoints"):
        change = {name: each for name, each in after[kind].items() if before[kind].get(name) != each}
        change |= {name: None for name in before[kind] if name not in after[kind]}  # None: it goes
        if change:
            found.append((kind, change))
    return found


def top_down_plane(before, services, slices, routes):
    return top_down(before, named(snapshot(services, slices, routes)))


plane = lab.deploy(top_down_plane, host="snapshot", name="snapshot", paced=0.3)
control.conversation(lab)

# %%
with control.recorded(lab) as told, control.asking(lab, "web", "/next", after=2.5) as answers:
    lab.apply(lab.read("start/move.yaml"))
    control.remove(lab, "Service", "web-next")
answers

# %%
control.story(told)

# %% [markdown]
# Both names lead to the same, healthy Pod, and yet there was an outage. A route may name a cluster that does not exist;
# Envoy takes it (ACK!) and answers every request with a 503. Put the names side by side with the times, and you see
# which push began the outage, and which one ended it.
#
# Everything back to the start:

# %%
plane.stop()
lab.apply(lab.read("start/web.yaml"))
lab.apply(lab.read("start/route.yaml"))
control.remove(lab, "Service", "web-v2")
lab.deploy(snapshot, host="snapshot")

# %% [markdown]
# ## Your turn: `m4-order`
#
# **Write `pushes(before, after)`: it takes two snapshots by type and name, as `named` gives them, and returns a list of
# pushes that lead from the first to the second, so that no request fails on the way.** A push is a pair of a type
# and a dictionary: names, with the resource, or with `None` for one that goes. One push has one type; a type may have
# several pushes.
#
# After each push, every route that the proxy has must lead to clusters that it has, with their endpoints, and each
# listener to routes. At the end the proxy has what is in `after`, all of it and no more. And what it has already is
# not sent again, nor is a push that has nothing in it.


# %% exercise="m4-order"
def by_name(found):
    """A snapshot by type and name."""
    return {
        kind: {each["cluster_name" if kind == "endpoints" else "name"]: each for each in resources}
        for kind, resources in found.items()
    }


### BEGIN SOLUTION: def pushes(before, after): ...
def pushes(before, after):
    """First all that is new, from the bottom up; then what is no longer named, from the top down."""

    def new(kind):
        return {name: each for name, each in after[kind].items() if before[kind].get(name) != each}

    def gone(kind):
        return {name: None for name in before[kind] if name not in after[kind]}

    making = [(kind, new(kind)) for kind in ("endpoints", "clusters", "routes", "listeners")]
    breaking = [(kind, gone(kind)) for kind in ("listeners", "routes", "clusters", "endpoints")]
    return [(kind, change) for kind, change in making + breaking if change]


### END SOLUTION
def paced(before, services, slices, routes):
    return pushes(before, by_name(snapshot(services, slices, routes)))


lab.deploy(paced, host="snapshot", name="snapshot", paced=0.3)

# %%
lab.check("m4-order")

# %% [markdown]
# The same move as before, with your order:

# %%
with control.recorded(lab) as told, control.asking(lab, "web", "/next", after=2.5) as answers:
    lab.apply(lab.read("start/move.yaml"))
    control.remove(lab, "Service", "web-next")
answers

# %%
control.story(told)

# %% [markdown]
# For a moment the proxy has both clusters, and that is the whole trick. The protocol's own documentation recommends
# it under the name *make before break*. (The control planes that you will use do it for you. You meet the same thought
# again whenever something that is in use is replaced: a certificate in M5, a database schema, a version of an API.)
#
# Back to the start; your own order goes on running:

# %%
lab.apply(lab.read("start/web.yaml"))
lab.apply(lab.read("start/route.yaml"))
control.remove(lab, "Service", "web-v2")

# %% [markdown]
# ## The control plane goes away
#
# It is a Pod, so some day it will be gone: for the seconds of an upgrade, or for a weekend. Here it goes. (The
# load generator of lab M1 is in the namespace too; it tells us what customers see.)

# %%
control.scale(lab, "snapshot", 0)

# %%
lab.load("http://proxy/", header="Host: web", requests=100, keep=False)

# %% [markdown]
# Nothing happens, and that is the point: **the data plane does not need the control plane for a request.** It has its
# configuration. What it does not have any more is news. The Pods of `web` are replaced:

# %%
control.replace(lab, "web")

# %%
lab.load("http://proxy/", header="Host: web", requests=20, connections=4, keep=False, timeout=2)

# %% [markdown]
# Both Pods are new, and the proxy asks addresses where nobody is: 503, after a second of waiting for a connection. So
# "traffic goes on" is true until something moves. How long that is depends on the place: in a quiet one for days, in
# one that scales by the minute for a minute. (Outlier detection, lab M7, and retries soften it.)
#
# The control plane comes back. Who is served again at once, and what does it take?

# %%
control.scale(lab, "snapshot", 1)
control.conversation(lab)

# %%
lab.load("http://proxy/", header="Host: web", requests=20, connections=4, keep=False)

# %% [markdown]
# The proxy's stream had ended, and it tries again, with pauses that grow: the file above says from 0.2 s to 1 s, and
# where nothing is said they grow to half a minute. Then it says what it has, and gets what is different.
#
# ### The Pod that starts meanwhile
#
# So much for those that were there before. And one that starts while the control plane is away, because somebody
# scales up or a node dies? Look:

# %%
control.scale(lab, "snapshot", 0)
control.scale(lab, "proxy", 2)
# !labs kubectl -n {lab.namespace} get pods -l app=proxy

# %%
lab.load("http://proxy/", header="Host: web", requests=60, connections=4, keep=False)

# %% [markdown]
# Half of the customers are turned away, at the door of a Pod that is green. It has waited for its first clusters, and
# then for its first listeners, each for as long as `initial_fetch_timeout` says (2 s here, 15 s if you say nothing).
# Then it gave up waiting, declared itself started, and `/ready` has been true ever since. It is an Envoy in perfect
# health, with no listener. The Service `proxy` sends it its share.
#
# A failed control plane alone harms nobody who stands still. Together with this it harms everybody who scales. So:

# %%
control.scale(lab, "proxy", 1)
control.scale(lab, "snapshot", 1)

# %% [markdown]
# ## Your turn: `m4-away`
#
# **See to it that a proxy which has never had a configuration gets no requests, while one that has its configuration
# goes on getting them, control plane or not.** A new proxy must become ready soon after the control plane is back,
# too.
#
# The file `start/proxy.yaml` has what a proxy is made of: a ConfigMap (you have seen it at the beginning), a Deployment
# and a Service. Of its container you need to know two things, the ports and the question that the kubelet asks it:

# %%
configuration, deployment, service = yaml.safe_load_all(lab.read("start/proxy.yaml"))
(envoy,) = deployment["spec"]["template"]["spec"]["containers"]
print(yaml.safe_dump({key: envoy[key] for key in ("ports", "readinessProbe")}, sort_keys=False))

# %% [markdown]
# There is more than one way. The check takes the control plane away, starts a proxy, looks at both, and brings the
# control plane back. It takes some 15 seconds.

# %% exercise="m4-away"
import yaml

configuration, deployment, service = yaml.safe_load_all(lab.read("start/proxy.yaml"))
(envoy,) = deployment["spec"]["template"]["spec"]["containers"]
probe = envoy["readinessProbe"]
### BEGIN SOLUTION: # Here you change `probe`, or what else is to change.
del probe["httpGet"]
probe["tcpSocket"] = {"port": "http"}
### END SOLUTION
lab.apply(yaml.safe_dump_all([configuration, deployment]))

# %%
lab.check("m4-away")

# %% [markdown]
# In the mesh of this course the same is done in another place: its bootstrap says `initial_fetch_timeout: 0s`, which
# means for ever (`labsupport/mesh/proxy/bootstrap.py`, in `_ads`, with the reason beside it).
#
# ## The proxy says no
#
# Today three teams changed their routes. Everybody's manifest was accepted by the API server, nobody's requests fail.
# And yet somebody complains:
#
# - **tea**: "We have sent `/tea/green` to the next version an hour ago. Still version 1. Our route is right, we have
#   compared it character by character!"
#
# And everybody has a theory:
#
# - "It is the new Service `coffee`. There is no Pod behind it."
# - "The `sale` route has a regular expression with a flag in it. That is never portable."
# - "The control plane hangs. Restart it."
# - "Tea should delete their route and make it anew."

# %%
lab.apply(lab.read("start/teams.yaml"))
with control.recorded(lab) as told:
    lab.apply(lab.read("start/tea.yaml"))
lab.proxy().ask("/tea/green", "/tea/black", headers={"Host": "web"})

# %%
# !labs kubectl -n {lab.namespace} get httproutes

# %% [markdown]
# ## Your turn: `m4-nack`
#
# **Name the object that has to change, so that tea's route is obeyed: `culprit`, as `"Kind/name"`.** You have what the
# people who run a control plane have: its records, and the objects.

# %%
control.story(told)

# %%
for each in control.objects(lab)[2]:
    print(each["metadata"]["name"], yaml.safe_dump(each["spec"]["rules"]), sep="\n")

# %% exercise="m4-nack"
### BEGIN SOLUTION: culprit = ...  # AS IN "Service/web"
culprit = "HTTPRoute/archive"
### END SOLUTION

# %%
lab.check("m4-nack")

# %% [markdown]
# A **NACK**: the proxy has looked at the response as a whole, did not like one entry, and goes on with what it had. So
# nobody is cut off, and nobody gets anything new either, and the one who notices is not the one who did it. The host
# has drawn a conclusion: it went back to the last version that was taken, so that whoever comes next gets at least
# that.
#
# "Whoever comes next", as long as this process lives. Watch what two restarts do, which is what everybody tries first:

# %%
print(control.replace(lab, "snapshot"))
print(control.replace(lab, "proxy"))
control.conversation(lab)

# %%
lab.proxy().ask("/", "/next", "/tea/black", headers={"Host": "web"})

# %% [markdown]
# The new control plane has never heard an ACK of any routes. It has one version to offer, the bad one. The proxy that
# was there had its good one in memory, and that memory is gone too. The new proxy refused its first routes, and so it
# opened the port without them: an error for everybody, from a Pod that is ready, whatever you built in `m4-away`,
# since its listener is there. So a NACK that nobody looks at is not a state in which things are well. It is an outage
# that waits for the next restart.
#
# Could the team of `archive` have known? The mesh of this course is installed in your cluster. It has no proxy in your
# namespace, but it has read the same objects, and it writes what it thinks of a route into its status:

# %%
for each in control.objects(lab)[2]:
    for parent in each.get("status", {}).get("parents", []):
        print(each["metadata"]["name"], *(said["message"] for said in parent["conditions"]), sep=" | ")

# %% [markdown]
# Now the mending. The team of `archive` wanted everything below `/archive` except the index, and wrote it as one does
# in many languages. Envoy's regular expressions (RE2) cannot look ahead. Two rules say the same, and the more special
# one wins:

# %%
with control.recorded(lab) as told:
    lab.apply(lab.read("start/archive.yaml"))
control.story(told)

# %%
control.scale(lab, "proxy", 1)
lab.proxy().ask("/tea/green", "/tea/black", "/archive/2019", "/archive/index", headers={"Host": "web"})

# %% [markdown]
# All at once everything is obeyed, tea's route as well. What would you build differently, so that one team's mistake
# is only that team's? Three things, and the mesh of this course has them:
#
# - **Smaller resources.** Here all Services share one route configuration. In the mesh each port of each Service has
#   its own, so that a refusal stops one Service and not all (`labsupport/mesh/translate/routes.py`). And the parts of
#   a response that was refused are tried one by one (`labsupport/mesh/serve/session.py`).
# - **Tell the one who did it.** In the mesh every resource knows which objects it was made of, and a refusal is written
#   into the status of those HTTPRoutes, with Envoy's words. `labs mesh proxies` lists what each proxy has taken.
# - **Ask before.** What can be checked before anything is sent is checked: expressions, for instance, by the library
#   that Envoy itself uses for them. That is where the words about `archive` above came from.

# %%
lab.progress()

# %% [markdown]
# ## What you can now explain
#
# - A control plane is a function from objects to resources, and a loop around it. What a proxy has not got is asked
#   for, what has changed is pushed, what is pushed is answered.
# - Routes are sorted by the control plane, since Envoy takes the first that matches; a cluster without an assignment
#   warms for ever; an exception in the function stops all that come after it.
# - Versions are digests of content: work follows what has changed, if the same objects give the same bytes.
# - Make before break: what is named comes before what names it, and goes after it.
# - The data plane serves without the control plane until something moves. A proxy that has never had a configuration
#   must not be called ready.
# - A NACK leaves the last good configuration in force, in memory, for everybody, also for those whose change was good.
