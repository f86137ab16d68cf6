# %% [markdown]
# # One proxy by hand
#
# A service mesh is, before anything else, a great many proxies. This lab has one. You will configure it by hand, line
# by line, until the words that meshes are made of (listener, route, cluster, endpoint) are names for things you have
# seen. Then you will do by hand what a mesh does all day: change a running proxy without restarting it, and find out
# what happens when the change is wrong. At the end you weigh it: what does a proxy cost a request?
#
# The proxy is Envoy, the one that Istio, Consul, Kuma and many gateways use. No model of it, no substitute: the
# program itself, in a Pod of your cluster.

# %%
from labsupport.course import lab

lab.start("m2")

# %% [markdown]
# ## A proxy that has nobody to ask
#
# In your namespace run a service `web` (two Pods), its next version `web-next` (one Pod), and a Deployment `proxy`,
# which is Envoy. Its Service, also called `proxy`, takes calls on port 80. At the start Envoy reads one file, which
# lies in a ConfigMap. This is all of it:

# %%
print(lab.read("start/config.yaml"))

# %% [markdown]
# Read it from the outside in. A **listener** opens a port. What arrives there goes through a chain of filters, of
# which there is one here, the *HTTP connection manager*: it turns bytes into requests. It has filters of its own, of
# which the last is always the **router**. And the router needs **routes**: a list of questions about a request, asked
# in order, with an answer for the first that is true.
#
# The long names in `@type` say which kind of settings follows, since any filter can stand there. You do not write
# them from memory; nobody does.
#
# Here the one route matches every path, and its answer is given on the spot. Ask the proxy something. (Here and
# below, `lab.proxy()` talks to the proxy in your namespace, by way of the API server.)

# %%
lab.proxy().ask("/", "/anything")

# %% [markdown]
# Envoy can draw this for you, in a way. Its *admin interface* (port 9901 in the Pod) tells what it has understood:
# `/config_dump` is the configuration as it is in force, `/clusters` every address it knows. The picture below is made
# from nothing else. Get used to asking Envoy and not the file: later on the two will differ, and only one of them is
# right.

# %%
lab.proxy().map()

# %% [markdown]
# (The admin interface has no password and can end the process. In your lab it is open to the cluster so that this
# notebook reaches it; anywhere else it belongs on the Pod's loopback.)
#
# ## Your turn: `m2-static`
#
# **Let requests to the proxy be answered by the Pods of `web`.** Two things are missing in the file below: the route
# has to lead to a **cluster**, and there is no cluster yet. The word has nothing to do with Kubernetes here. For
# Envoy a cluster is a set of **endpoints** (addresses) that are as good as one another, with a name by which routes
# mean it.
#
# The cluster needs a `name`, a `type` that says how the addresses are found, and a `load_assignment` that lists them.
# The addresses of Pods change, but the name of a Service does not: with `type: STRICT_DNS` the `address` of an
# endpoint may be a host name, which Envoy asks DNS for again and again. Callers in your namespace find the service as
# `web`, on the port that its Service has.
#
# `configure` writes the ConfigMap and starts a new Pod, since this file is read once. If Envoy does not like what it
# reads, you get its own words. They look forbidding and are precise: look for the path in the middle, such as
# `static_resources.clusters[0]`.

# %% exercise="m2-static"
lab.proxy().configure("""
admin:
  address: {socket_address: {address: 0.0.0.0, port_value: 9901}}
static_resources:
  listeners:
  - name: ingress
    address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: shop
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                ### BEGIN SOLUTION: direct_response: {status: 200, body: {inline_string: "Still nobody."}}
                route: {cluster: web}
                ### END SOLUTION
  ### BEGIN SOLUTION: clusters: []
  clusters:
  - name: web
    type: STRICT_DNS
    load_assignment:
      cluster_name: web
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: web, port_value: 80}}}
  ### END SOLUTION
""")

# %%
lab.check("m2-static")

# %% [markdown]
# When it passes, look at the way again, and at who answers. Two Pods are behind the Service. How many endpoints has
# the cluster?

# %%
lab.proxy().ask("/a", times=6)

# %%
lab.proxy().map()

# %% [markdown]
# One endpoint, and its address is none of a Pod: DNS gave the Service's virtual address, and behind it kube-proxy
# chooses, once for each *connection* (lab M1). Envoy keeps its connections open, so it may well be that one Pod did
# all the work just now. Balancing requests needs the addresses of the Pods; you will give them to it soon.
#
# ## Which request goes where
#
# So far the proxy adds nothing that a Service has not. Here is the first thing that a Service cannot do: decide by
# what is *in* the request. The questions that a route may ask stand in its `match`:
#
# | In `match` | True for |
# |---|---|
# | `prefix: /a` | paths that begin with these characters: `/a`, `/a/b`, `/apple` |
# | `path: /a` | this path and no other |
# | `path_separated_prefix: /a` | `/a` and what lies below it: `/a/b`, not `/apple` |
# | `safe_regex: {regex: "..."}` | paths that the whole expression matches |
# | `headers: [{name: ..., string_match: {exact: ...}}]` | requests that have this header with this value |
# | `headers: [{name: ..., present_match: true}]` | requests that have it with whatever value |
#
# Each `match` needs a condition on the path and may have others besides; all of them must hold. Routes are asked in
# order, and the first that matches decides.
#
# ## Your turn: `m2-match`
#
# Version 2 of web is to be tried by a few. **Requests for `/next` and everything below it, and requests with the
# header `x-preview: yes` for whatever path, go to the cluster `web-next`; all others to `web`.** Customers read
# `/next-week` and `/nextdoor` on the old version, and a few robots send `x-preview: no`. Both clusters are there
# already; what is missing is routes.

# %% exercise="m2-match"
lab.proxy().configure("""
admin:
  address: {socket_address: {address: 0.0.0.0, port_value: 9901}}
static_resources:
  listeners:
  - name: ingress
    address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: shop
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
                ### BEGIN SOLUTION: # YOUR ROUTES HERE, BEFORE THE ONE FOR ALL THE REST
              - match: {path_separated_prefix: /next}
                route: {cluster: web-next}
              - match: {prefix: /, headers: [{name: x-preview, string_match: {exact: "yes"}}]}
                route: {cluster: web-next}
              ### END SOLUTION
              - match: {prefix: /}
                route: {cluster: web}
  clusters:
  - name: web
    type: STRICT_DNS
    load_assignment:
      cluster_name: web
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: web, port_value: 80}}}
  - name: web-next
    type: STRICT_DNS
    load_assignment:
      cluster_name: web-next
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: web-next, port_value: 80}}}
""")

# %%
lab.check("m2-match")

# %% [markdown]
# The check sends requests that stand nowhere on this page. Try some of your own, and see in the picture in which
# order the questions are asked:

# %%
lab.proxy().ask("/", "/next", "/next/week", "/next-week")

# %%
lab.proxy().ask("/", "/next-week", headers={"x-preview": "yes"})

# %%
lab.proxy().map()

# %% [markdown]
# ## Changing a running proxy
#
# Each of your changes cost a new Pod. With one proxy that is a nuisance; with one beside every Pod of a company it is
# out of the question. So Envoy can fetch most of its configuration while it runs, from a server (that is lab M4) or,
# simplest of all, from **files that it watches**. The family of protocols is called *xDS*: RDS discovers routes, EDS
# discovers endpoints. Here is the same proxy, with both in files:

# %%
print(lab.read("start/dynamic.yaml").split("apiVersion: apps/v1")[0])

# %% [markdown]
# Where the routes stood, `rds` now says where they are found, and the cluster `web` has `type: EDS` and no addresses
# of its own. `watched_directory` means: look again whenever something is *moved* into `/files`. That is how the
# kubelet updates the volume of a ConfigMap: it writes a new directory beside the old one and swaps a link, so that a
# reader never sees half a file.
#
# This is applied like any manifest; one last new Pod.

# %%
lab.apply(lab.read("start/dynamic.yaml"))

# %%
lab.proxy().map()

# %%
lab.proxy().ask("/", "/next")

# %% [markdown]
# `/next` works. Everything else gets a **503**, and the proxy says it itself: the route leads to the cluster `web`,
# and the cluster has no endpoints. Somebody has to write them into the file, and to keep them right. That somebody is
# called a *control plane*. Today it is you.
#
# Kubernetes knows the addresses. It keeps them in EndpointSlices, which you met in lab M1:

# %%
import yaml

print(yaml.safe_dump(lab.proxy().slices("web")))

# %% [markdown]
# ## Your turn: `m2-discovery`
#
# Write **`assignment(slices)`: it takes EndpointSlices as above and returns the ClusterLoadAssignment of the cluster
# `web`**, a dictionary of the same shape as the `load_assignment` in your static file. Each address that may get
# requests stands in it once, with the port number that its slice has under the name `http`. Which endpoints may get
# requests? Those whose condition `ready` is true, and those that say nothing about it (the API's documentation: "nil
# should be interpreted as true"). There may be no slice, or several, and the controller may list an endpoint in two
# slices for a moment while it moves it.
#
# The last line pushes the result into `endpoints.yaml`.


# %% exercise="m2-discovery"
def assignment(slices):
    """The ClusterLoadAssignment of the cluster web, from the EndpointSlices of a Service."""
    ### BEGIN SOLUTION: return None  # YOUR CODE HERE
    found = set()
    for each in slices:
        for port in each.get("ports") or []:
            if port.get("name") == "http":
                for endpoint in each.get("endpoints") or []:
                    ready = (endpoint.get("conditions") or {}).get("ready")
                    if ready is None or ready:
                        found.add((endpoint["addresses"][0], port["port"]))
    addresses = [{"socket_address": {"address": ip, "port_value": number}} for ip, number in sorted(found)]
    return {
        "cluster_name": "web",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": each}} for each in addresses]}],
    }
    ### END SOLUTION


lab.proxy().push(endpoints=assignment(lab.proxy().slices("web")))

# %%
lab.check("m2-discovery")

# %%
lab.proxy().ask("/a", times=6)

# %%
lab.proxy().map()

# %% [markdown]
# Now there are as many endpoints as Pods, and the requests take turns: one *request* here, the next there, over
# connections that stay open. And Envoy was not restarted.
#
# How long did the file take? `push` says it. Most of that is not Envoy, and not the API server. It is the kubelet,
# which looks at the volumes of a Pod only when it looks at the Pod: once a minute by default. `push` therefore
# changes an annotation on the Pod, which means nothing but makes the kubelet look now. Without that trick a change of
# a ConfigMap takes up to a minute and a half to arrive; remember it when you are sure that "the new configuration
# does not work". (Envoy itself takes about 10 ms from the swap of the link. A real control plane speaks to Envoy
# directly, and M4 measures that.)
#
# ### The file does not follow
#
# You wrote down what was true at that moment. Give `web` a third Pod, wait until it is ready, and ask again: this
# time with the load generator of lab M1, since six requests prove little.

# %%
lab.apply(lab.read("../../../clusters/manifests/shop/load.yaml"))

# %%
# !labs kubectl -n {lab.namespace} scale deployment web --replicas=3
# !labs kubectl -n {lab.namespace} rollout status deployment web
# !labs kubectl -n {lab.namespace} rollout status deployment load

# %%
lab.load("http://proxy/", requests=60, connections=2)

# %% [markdown]
# Two names. The third Pod is ready, the Service has it, kube-proxy has it, and your proxy has never heard of it. If a
# Pod had *gone*, it would be worse: requests would go on being sent to an address where nobody is. A control plane is
# a loop, not a script. Run your function once more, since there is no loop yet:

# %%
if "assignment" in globals():
    lab.proxy().push(endpoints=assignment(lab.proxy().slices("web")))
lab.load("http://proxy/", requests=60, connections=2)

# %% [markdown]
# Now take the third Pod away again, and tell the proxy:

# %%
# !labs kubectl -n {lab.namespace} scale deployment web --replicas=2
# !labs kubectl -n {lab.namespace} rollout status deployment web

# %%
if "assignment" in globals():
    print(lab.proxy().push(endpoints=assignment(lab.proxy().slices("web"))))

# %% [markdown]
# ## When the change is wrong
#
# Sooner or later somebody pushes a file that is wrong. Three things can be wrong about it, and Envoy counts them
# apart:

# %%
lab.proxy().stats("rds.*update_[^t]")

# %% [markdown]
# `update_success` counts what was taken up, `update_rejected` what Envoy could read and did not accept,
# `update_failure` (absent above as long as it is zero) what it could not even read. And then there are mistakes that
# nobody refuses. Before you go on, guess for each of these three whether Envoy accepts it:
#
# 1. a route to a cluster that does not exist,
# 2. a virtual host that has the domain `"*"` twice,
# 3. a misspelt key: `prefixx: /shop` beside a correct `prefix: /`.


# %%
def routes(cluster, domains='"*"', match="prefix: /"):
    return f"""
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: shop
  virtual_hosts:
  - name: all
    domains: [{domains}]
    routes:
    - route: {{cluster: {cluster}}}
      match: {{{match}}}
"""


right = lab.proxy().file("routes")
lab.proxy().push(routes=routes("nowhere"))

# %%
lab.proxy().ask("/a")

# %%
lab.proxy().push(routes=routes("web", domains='"*", "*"'))

# %%
lab.proxy().push(routes=routes("web", match="prefix: /, prefixx: /shop"))

# %%
lab.proxy().ask("/a")

# %% [markdown]
# The first is the worst: accepted, since the cluster might arrive later, and every request fails with a 503. The
# second is rejected, and **the last good configuration goes on serving** (such as it was). The third is accepted: in
# files, as on the wire, an unknown field may come from a newer version and is passed over, while the same mistake in
# the static file ends the process. (Envoy notes it in its log, and in the counter `server.dynamic_unknown_fields`.)
#
# Now it is your turn. The proxy first gets back the routes that it had, and a restart, which sets its counters to zero:

# %%
print(lab.proxy().push(routes=right))
print(lab.proxy().restart())

# %% [markdown]
# ## Your turn: `m2-refused`
#
# Make it happen, and get out of it without an outage. **In the Envoy that runs now: push a routes file that it
# rejects (so that `update_rejected` counts it); then, without a restart, push one that it accepts, by which every
# answer carries the header `x-shop` with the value `open`,** and requests for `/next` and below still go to
# `web-next`, all others to `web`. A virtual host adds headers by `response_headers_to_add: [{header: {key: ...,
# value: ...}}]`, beside `domains`.

# %% exercise="m2-refused"
rejected = """
### BEGIN SOLUTION: # A FILE THAT ENVOY REJECTS
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: shop
  virtual_hosts:
  - name: all
    domains: ["*", "*"]
    routes:
    - match: {prefix: /}
      route: {cluster: web}
### END SOLUTION
"""
accepted = """
### BEGIN SOLUTION: # A FILE THAT IT ACCEPTS
resources:
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: shop
  virtual_hosts:
  - name: all
    domains: ["*"]
    response_headers_to_add: [{header: {key: x-shop, value: open}}]
    routes:
    - match: {path_separated_prefix: /next}
      route: {cluster: web-next}
    - match: {prefix: /}
      route: {cluster: web}
### END SOLUTION
"""
for text in (rejected, accepted):
    print(lab.proxy().push(routes=text))

# %%
lab.check("m2-refused")

# %% [markdown]
# ### The last good one lives in memory
#
# There is a catch, and it has cost people nights. Watch: a bad file is pushed and rejected, everybody is served. Then
# the Pod is restarted, for a reason that has nothing to do with it.

# %%
good = lab.proxy().file("routes")
print(lab.proxy().push(routes=routes("web", domains='"*", "*"')))
lab.proxy().ask("/a")

# %%
lab.proxy().restart()

# %%
lab.proxy().ask("/a", "/next")

# %% [markdown]
# The new process has never had a good configuration. It finds the file rejected, opens its port with no routes at all,
# and says 404 to everybody. So "rejected" is not the end of an incident. It is a notice that the next restart will be
# one. Put the good file back:

# %%
print(lab.proxy().push(routes=good))
lab.proxy().ask("/a", "/next")

# %% [markdown]
# ## What it costs
#
# Every request now takes a detour: into another process, through an HTTP parser, out again. **Before you measure: how
# much does the proxy add to the median request, in milliseconds?** Think of what you know: a memory access takes
# 0.0001 ms, a context switch some 0.005, a fast disk 0.1, a round trip between two cities 10. Commit a number.

# %% exercise="m2-latency"
### BEGIN SOLUTION: lab.predict("m2-latency", ...)  # MILLISECONDS
lab.predict("m2-latency", 0.3)
### END SOLUTION

# %% [markdown]
# The load generator asks both in turn, `http://web/` directly and `http://proxy/`, which leads to the same Pods: 200
# requests each second, over four connections that are kept, in four rounds that alternate in order, so that a hiccup
# of the machine meets both. A request that cannot start in time is measured from when it *should* have started;
# otherwise the slow ones would hide those that wait behind them.

# %%
cost = lab.compare({"directly": "http://web/", "through Envoy": "http://proxy/"})
cost

# %% [markdown]
# Read the picture before the numbers. Each curve climbs from no request to all of them: at the height of 50 % you
# read off the median, at 99 % the slow end. What Envoy adds is the gap between the curves *at one height*, and it is
# not the same at all heights. That is why "a proxy adds so many milliseconds" says little without saying for whom.
#
# The rounds beside the numbers show the spread. If the gap at 99 % is smaller than what it differs by from round to
# round, you have not measured it, whatever the number says; more requests or a quieter machine would help.

# %%
lab.check("m2-latency")

# %% [markdown]
# Two things to keep in mind. The time here is one hop and one proxy on one machine; a mesh has two proxies on the
# way, and encryption (M10 measures that). And latency is not all: Envoy needed memory and processor time as well.

# %%
lab.proxy().stats("server.memory_(allocated|physical)|ingress.downstream_rq_total")

# %% [markdown]
# ## Your turn: `m2-find`
#
# Another team has a proxy, `gate`. It is in your namespace now, with all that belongs to it. Since Friday some of
# their requests end with a 503, and everybody has a theory:
#
# - "It is version 2. Since we have it in the mix, there are errors."
# - "`reports` is down, that has been in the log for weeks."
# - "Somebody has set circuit breakers. Eight requests at a time!"
# - "There is a time-out of half a second on the route."
# - "Restart the gate."
#
# All of them have seen something that is there. One object has to change, and it is one that nobody has named.

# %%
lab.apply(lab.read("start/incident.yaml"))

# %%
gate = lab.proxy("gate")
gate.running()
lab.load("http://gate/", requests=60, connections=2)

# %% [markdown]
# What you have is what you would have anywhere: the access log, the counters, the map. In this log, `flags` is the
# word to start from. Envoy says there *why* it gave an answer that it had to invent: `UF` no connection to the
# endpoint, `UH` no endpoint that could be asked, `UO` a circuit breaker was open, `UT` the time was up, `NR` no
# route, `-` nothing to report: the answer is the application's own.

# %%
gate.ask("/", "/reports", times=3)

# %%
gate.log(12)

# %%
gate.map()

# %%
gate.stats(
    "cluster.(web|reports).upstream_(rq_[0-9]+$|rq_timeout|cx_connect_fail|cx_overflow|rq_pending_overflow)"
)

# %%
# !labs kubectl -n {lab.namespace} get services,deployments,endpointslices

# %% [markdown]
# **Name the address that the failing requests were sent to (`address`, as the log writes it), and the object that has
# to change (`culprit`, as `"Kind/name"`).** Follow it all the way: a log line gives an address, an address belongs to
# something, and that something leads somewhere. Why does nobody answer there?

# %% exercise="m2-find"
### BEGIN SOLUTION: address = ...  # AS IN "10.1.2.3:80"
gate = lab.proxy("gate")
refusing = []
while not refusing:  # until it has had its turn
    gate.send("/")
    endpoints = [endpoint for cluster in gate.way().clusters for endpoint in cluster.endpoints]
    refusing = [each.address for each in endpoints if each.failures and not each.requests]
(address,) = refusing
### END SOLUTION
### BEGIN SOLUTION: culprit = ...  # AS IN "ConfigMap/gate"
culprit = "Service/web-spare"
### END SOLUTION

# %%
lab.check("m2-find")

# %% [markdown]
# ## What you can now explain
#
# - A **listener** takes connections, **routes** ask about requests in order, a **cluster** is a named set of
#   **endpoints**; `/config_dump` says what of it is in force, whatever the files say.
# - A proxy balances requests where kube-proxy balances connections, if it knows the Pods and not only the Service.
# - A static file is read once; what comes by discovery changes in a running process. Somebody has to keep it true:
#   the control plane.
# - Rejected, unreadable, accepted and wrong: three different accidents, and only the first two leave the last good
#   configuration in force, until the next restart.
# - What a proxy adds is a distribution, and a difference smaller than its own spread has not been measured.
# - A 503 has an author. The response flags say who, the upstream address says where.
