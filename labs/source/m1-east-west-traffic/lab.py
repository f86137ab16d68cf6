# %% [markdown]
# # East-west traffic
#
# A shop runs in your namespace: `web` calls `orders`, `orders` calls `inventory` and `payments`. None of these
# calls comes from outside, and none leaves the cluster. This is **east-west** traffic, and in most clusters there
# is far more of it than of the kind that customers cause directly.
#
# Kubernetes already carries it: a Service has a name and an address, and somehow calls end at a Pod. So why would
# anybody want a service mesh? You will read the rules that do the carrying, see what they cannot do, and then do it
# yourself, in code. At the end you add up what that cost.

# %%
from labsupport.course import lab

lab.start("M1")

# %% [markdown]
# ## The shop
#
# Four services and `load`, which sends requests and counts. Each answer says which Pod gave it, at every hop. One
# purchase, and who took part in it:

# %%
# !labs kubectl -n {lab.namespace} exec deploy/load -- curl -s http://web/buy/tea

# %%
lab.load("http://web/buy/tea", requests=40, connections=2)

# %% [markdown]
# ## What a Service really is
#
# Here is the address that callers of `inventory` dial.

# %%
# !labs kubectl -n {lab.namespace} get service inventory

# %% [markdown]
# Who has this address? Not a Pod: their addresses are others. The node? The Pod `node` was made for questions of
# this kind: it sees the node's own network. These are all addresses on the node's interfaces.

# %%
# !labs kubectl -n {lab.namespace} get pods -o wide -l app=inventory

# %%
# !labs kubectl -n {lab.namespace} exec node -- ip -brief address

# %% [markdown]
# Nobody has it. No process listens there, and no interface answers to it. A ClusterIP exists in one place only: in
# the packet rules that **kube-proxy** writes on each node. They are read with `nft`, and this is what the running
# kube-proxy wrote about your `inventory`:

# %%
# !labs kubectl -n {lab.namespace} exec node -- nft list map ip kube-proxy service-ips | grep {lab.namespace}/inventory
# !labs kubectl -n {lab.namespace} exec node -- nft list table ip kube-proxy | grep -A 2 "chain service.*/inventory"

# %% [markdown]
# A map (address, protocol and port on the left, a chain on the right), and the chain. The chain has one line. The
# same, followed by a program from the address to the Pods, and drawn from the rules as they are now:

# %%
lab.rules("inventory")

# %% [markdown]
# `numgen random mod 3`: a number is drawn, and the destination of the packet is overwritten (`dnat`). That is all.
# No program stands in the way of a call; kube-proxy has left long before the first packet comes, and the kernel
# does what was written down.
#
# Rules follow EndpointSlices, EndpointSlices follow Pods. Scale, wait until the new Pods are ready, and look again:

# %%
# !labs kubectl -n {lab.namespace} scale deployment inventory --replicas=5
# !labs kubectl -n {lab.namespace} rollout status deployment inventory --timeout=30s

# %%
lab.rules("inventory")

# %%
# !labs kubectl -n {lab.namespace} scale deployment inventory --replicas=3

# %% [markdown]
# ## `m1-rules`: purchases fail
#
# On a Friday four teams changed something, each of them a little. Since then customers complain.

# %%
lab.apply(lab.read("start/incident.yaml"))

# %%
# !labs kubectl -n {lab.namespace} rollout status deployment orders --timeout=30s

# %%
lab.load("http://web/buy/tea", requests=24, connections=12)

# %% [markdown]
# All Pods are ready, nothing restarts, and again and again `web` answers 502, slowly. The Services are
# these:

# %%
# !labs kubectl -n {lab.namespace} get services

# %% [markdown]
# **One of them leads callers to an address that belongs to no Pod. Which Service, and which address?** Follow the
# calls with `lab.rules("...")`, compare with `get pods -o wide` and `get endpointslices`. Not everything that looks
# odd is wrong.

# %%
lab.rules("web")

# %% exercise="m1-rules"
### BEGIN SOLUTION: service = ...
service = "payments"
### END SOLUTION
### BEGIN SOLUTION: address = ...
address = "192.0.2.7"
### END SOLUTION

# %%
lab.check("m1-rules")

# %% [markdown]
# Now it is mended, whoever found it: the slice lists nobody any more, and the other three changes are taken back.
# (Later you will meet a program that would have noticed. kube-proxy cannot: it never asks an address whether it
# answers.)

# %%
lab.apply(lab.read("start/mended.yaml"))

# %%
# !labs kubectl -n {lab.namespace} rollout status deployment orders --timeout=30s

# %% [markdown]
# ## `m1-pinned`: a third each?
#
# Three Pods, `random mod 3`: everyone gets a third. With a new connection for each request, that is what happens.

# %%
lab.load("http://inventory/stock/tea", requests=300, keep=False)

# %% [markdown]
# Nobody opens a connection for each request, though. It costs a round trip, with TLS two or three; HTTP/1.1 keeps
# connections by itself, HTTP/2 and gRPC put all requests on one.
#
# **300 requests over one connection that is kept, three Pods: how many does the busiest Pod answer?** Commit a
# number before you run the check. It counts as solved whatever you said; the point is to have said it.

# %% exercise="m1-pinned"
### BEGIN SOLUTION: guess = None  # a number of requests
guess = 300
### END SOLUTION
lab.predict("m1-pinned", guess)

# %%
lab.check("m1-pinned")

# %% [markdown]
# The check measured it, and you can too. With a few connections the shares depend on luck, so one measurement says
# little. Here each row is measured eight times: each dot is the share of the busiest of the three Pods, and fair
# would be 33 %.

# %%
from labsupport.draw.strip import strip


def busiest(**plan):
    """Eight times the busiest Pod's share, in percent."""
    return [lab.load("http://inventory/stock/tea", requests=240, **plan).busiest * 100 for _ in range(8)]


shares = {f"{count} kept": busiest(connections=count) for count in (1, 3, 8, 32)}
shares["a new one each time"] = busiest(keep=False)
strip(shares, title="Share of the busiest of three Pods, by number of connections", unit="%", end=100)

# %% [markdown]
# And scaling out? While 8 connections are open and busy, inventory gets three more Pods. (`rate=40`: so many
# requests in a second, as a steady stream, and not as fast as can be.)

# %%
from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor() as background:
    stream = background.submit(lab.load, "http://inventory/stock/tea", connections=8, requests=240, rate=40)
    # !labs kubectl -n {lab.namespace} scale deployment inventory --replicas=6
    # !labs kubectl -n {lab.namespace} rollout status deployment inventory --timeout=30s
stream.result()

# %%
# !labs kubectl -n {lab.namespace} get pods -l app=inventory
# !labs kubectl -n {lab.namespace} scale deployment inventory --replicas=3

# %% [markdown]
# The young Pods got nothing. They are ready, they are in the rules, and nobody draws a lot: the kernel asks a chain
# of the type `nat` about the first packet of a connection only. To share out *requests*, someone must read them.
# Nobody in this picture does.
#
# ## `m1-outside`: north and south
#
# All calls so far began inside. Customers are not in the cluster: their calls come from **north** and go **south**.
# `web` has no door for them. Instead somebody gave one to `inventory`, for an afternoon.

# %%
lab.apply(lab.read("start/outside.yaml"))

# %%
lab.rules("inventory", outside=True)

# %% [markdown]
# A port on each node (`service-nodeports` is its map) that leads into the chain you know. **Give `web` such a door,
# and close that of `inventory`.** Inside, everything stays as it is.

# %% exercise="m1-outside"
lab.apply("""
### BEGIN SOLUTION: # YOUR YAML HERE
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  type: NodePort
  selector:
    app: web
  ports:
    - name: http
      port: 80
      targetPort: http
---
apiVersion: v1
kind: Service
metadata:
  name: inventory
spec:
  type: ClusterIP
  selector:
    app: inventory
  ports:
    - name: http
      port: 80
      targetPort: http
### END SOLUTION
""")

# %%
lab.check("m1-outside")

# %%
lab.rules("web", outside=True)

# %% [markdown]
# The last steps are the same in both directions of the compass, and what comes before them is not. From the north
# come strangers, with public names, public certificates, and habits that need a limit: the work of ingress
# controllers, gateways and API gateways. Between east and west both ends are yours, both can have an identity, and
# both can have a proxy: the work of a mesh. Lab M10 puts one next to the other. The rest of this lab goes from east to
# west.
#
# ## `m1-retry`: payments has a bad day
#
# Of each four requests to `payments` one is now refused with 503, one is carried out and **never answered**, two
# are well. So it goes when a service is overloaded, or is being replaced.

# %%
lab.apply(lab.read("start/unreliable.yaml"))

# %%
# !labs kubectl -n {lab.namespace} rollout status deployment payments --timeout=30s

# %%
before = lab.load("http://web/buy/tea", requests=24)
before

# %% [markdown]
# Worse than the failures: some customers were charged and told that it had failed. Compare `charges` with the number
# of purchases that succeeded.

# %%
# !labs kubectl -n {lab.namespace} exec deploy/load -- curl -s http://payments/ledger

# %% [markdown]
# So `orders` needs a better outgoing call. **Write `call(request, send, clock)`.** `send(request, timeout)` tries
# once and returns a response with a `status`, or raises `NotSent` (no connection: nobody has seen the request) or
# `NoAnswer` (sent, and then nothing). `clock.now()` and `clock.sleep(seconds)` are time. The rules:
#
# 1. At most four tries, 0.5 s for each, and 2 s for everything, waits included. Then the customer has gone.
# 2. After `NotSent`, try again. After `NoAnswer`, or an answer 502, 503 or 504, try again only if a second time
#    does no harm: for a GET, or if the request has a `key`. (With a key, payments answers the second time without
#    charging.)
# 3. Every other answer is the answer. Return it.
# 4. Wait between tries: longer after each, and by chance, so that callers that failed together do not come back
#    together.
# 5. When there is no try or no time left, hand over at once what became of the last try: return the response, or raise.
# 6. Send the request as it is; its key is what makes it safe.

# %% exercise="m1-retry"
import random

from labsupport.shop.client import NoAnswer, NotSent

TRIES, PER_TRY, TOTAL = 4, 0.5, 2.0  # tries, seconds, seconds


def call(request, send, clock):
    """The response to `request`; NotSent or NoAnswer if there is none."""
    ### BEGIN SOLUTION: return send(request, PER_TRY)  # one try, and hope
    end = clock.now() + TOTAL
    harmless = bool(request.key) or request.method == "GET"
    for number in range(TRIES):
        answer, failure = None, None
        try:
            answer = send(request, min(PER_TRY, end - clock.now()))
            again = harmless and answer.status in (502, 503, 504)
        except NotSent as error:
            failure, again = error, True
        except NoAnswer as error:
            failure, again = error, harmless
        wait = random.uniform(0, 0.05 * 2**number)
        if not again or number == TRIES - 1 or clock.now() + wait >= end:
            break
        clock.sleep(wait)
    if failure:
        raise failure
    return answer
    ### END SOLUTION


# %% [markdown]
# No cluster is needed to see what it does. A rehearsal plays the other side from a script, with a clock that jumps
# instead of waiting: a status is an answer, `lost` is carried out and not answered, `silent` never answers,
# `refused` takes no connection.

# %%
from labsupport.shop.client import Call
from labsupport.shop.rehearsal import rehearse

print(rehearse(call, Call("POST", "/charges", key="a"), "503 lost 201"))
print(rehearse(call, Call("POST", "/charges"), "lost 201"))
print(rehearse(call, Call("GET", "/stock/tea"), "silent"))

# %% [markdown]
# When you like what you see, it goes to the cluster: the shop's own `orders` steps aside, and a Pod with your
# function takes its place behind the same Service.

# %% exercise="m1-retry"
lab.apply(lab.read("start/aside.yaml"))
lab.deploy(call, host="caller", name="caller")

# %%
lab.check("m1-retry")

# %%
after = lab.load("http://web/buy/tea", requests=24)
after

# %% [markdown]
# What does it cost the customer? Before, half of them failed, and quickly. Each dot is one purchase:

# %%
strip(
    {"one try": before.latency_ms, "your call": after.latency_ms},
    title="How long a purchase takes while half of the calls to payments fail",
    unit="ms",
)

# %% [markdown]
# Your function is one of three outgoing calls in this shop, in one of its languages. And it sees one caller only:
# if every caller makes four tries of a service that fails because of too many calls, it gets four times as many. In
# lab M8 you will watch that happen.
#
# ## `m1-tls`: whom do you talk to?
#
# Between `orders` and `payments` everything travels in the clear. Let that change. By hand it takes an authority, a
# certificate with the name that callers use, a Secret, a server that is told of it, and a client that checks it.
#
# Begin with the client. What a search for the error message brings up is a context that verifies nothing, and it
# works. It would work as well with anybody who comes in between. **Write `trust(authority)`**: `authority` is the
# authority's certificate as text, the result an `ssl.SSLContext` that believes a server only if this authority signed
# its certificate, for the name that was called.

# %% exercise="m1-tls"
import ssl


def trust(authority):
    """The context for calls to payments; `authority` is PEM text."""
    ### BEGIN SOLUTION: return ssl._create_unverified_context()  # "works for me"
    return ssl.create_default_context(cadata=authority)
    ### END SOLUTION


# %% [markdown]
# Now the server. An authority, a certificate, a Secret. (The annotation with a digest is there since a server reads its
# certificate once. Without it, tomorrow's certificate would lie beside a server that goes on with today's.)

# %% exercise="m1-tls"
import hashlib
import json

from labsupport.course.certificates import Authority

authority = Authority("the shop")
issued = authority.issue("payments")
files = {"tls.crt": issued.certificate, "tls.key": issued.key}
secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "payments-tls"}, "stringData": files}
digest = hashlib.sha256(issued.certificate.encode()).hexdigest()[:12]

lab.apply(json.dumps(secret))
lab.apply(lab.read("start/payments-tls.yaml").replace("DIGEST", digest))

# %% [markdown]
# What you applied, beyond what `payments` had before: an annotation, a volume, its mount, two variables, the scheme
# of the probe, another port of the Service.

# %%
# !labs kubectl -n {lab.namespace} rollout status deployment payments --timeout=30s
# !labs kubectl -n {lab.namespace} exec deploy/payments -- openssl x509 -in /tls/tls.crt -noout -issuer -enddate
# !labs kubectl -n {lab.namespace} exec deploy/payments -- openssl x509 -in /tls/tls.crt -noout -ext subjectAltName

# %% [markdown]
# And both together: orders calls payments with what `trust` makes of the authority.

# %% exercise="m1-tls"
lab.deploy(
    trust,
    host="caller",
    name="caller",
    role="trust",
    payments="https://payments",
    authority=authority.certificate,
)

# %%
lab.check("m1-tls")

# %% [markdown]
# ### What it costs to be private
#
# The same requests to the same kind of server, in the clear and with TLS, over kept connections and over a new one
# each time; ten rounds of 40 requests, taken in turns so that whatever else your machine does hits all four alike.
# Each dot is the median of one round.

# %%
kinds = {
    "kept, in the clear": {"url": "http://inventory/stock/tea"},
    "kept, TLS": {"url": "https://payments/ledger"},
    "new each, in the clear": {"url": "http://inventory/stock/tea", "keep": False},
    "new each, TLS": {"url": "https://payments/ledger", "keep": False},
}
medians = {name: [] for name in kinds}
for _ in range(10):
    for name, plan in kinds.items():
        medians[name].append(lab.load(requests=40, **plan).percentile(50))
strip(medians, title="One request", unit="ms")

# %% [markdown]
# On a kept connection encryption is nearly free. The handshake is not, and with the pinning above you now have two
# wishes that pull in opposite directions: keep connections (cheap), and open new ones (fair).
#
# ## The bill
#
# You gave one call of one service retries, a timeout and TLS. Counted, not estimated:

# %%
import inspect

from cryptography import x509

from labsupport.course.views import Table


def lines(function):
    """How many lines of a function do something."""
    source = inspect.getsource(function).splitlines()
    return sum(bool(line.strip()) and not line.strip().startswith(("#", '"""')) for line in source)


ends = x509.load_pem_x509_certificate(issued.certificate.encode()).not_valid_after_utc
manifest = lab.read("start/payments-tls.yaml").lower().splitlines()
tls = [line for line in manifest if "tls" in line or "https" in line]
slower = after.percentile(90) - before.percentile(90)
handshake = max(0.0, sorted(medians["new each, TLS"])[5] - sorted(medians["new each, in the clear"])[5])
Table(
    "What one call of one service cost",
    ("What", "How much", "Again for"),
    [
        ("code: retries, back-off, timeouts", f"{lines(call)} lines", "each service, in each language"),
        ("code: trust", f"{lines(trust)} lines", "each service, in each language"),
        ("YAML that is about TLS", f"{len(tls)} lines", "each server"),
        ("objects to change", "Secret, 2 Deployments, Service", "each pair of services"),
        ("a certificate that ends", f"on {ends:%d %B, %H:%M} UTC", "each server, each time"),
        ("purchases, 90th percentile, on a bad day", f"{slower:+.0f} ms", "each customer"),
        ("a new connection, median", f"{handshake:+.2f} ms", "each connection"),
    ],
)

# %% [markdown]
# And it is not done. `payments` does not know its callers. Nobody counts the retries of all callers together.
# Nobody sees from outside who calls whom, how often, and how long it takes. Someone else's service, written in
# another language, has none of it, or has it a little differently; the day the rule changes (three tries, not four)
# it changes in all of them.
#
# All of this is about *requests* and *identities*, and none of it about tea. It can be taken out of the services
# and put into one program that stands beside each of them. Then it is written once, set in one place, and the same
# for all languages. That program is a proxy, you will set one up by hand in lab M2; many of them with something
# that tells them what to do are a **service mesh**.
#
# ## What you can now explain
#
# - A ClusterIP is an entry in a map of packet rules. kube-proxy writes it from EndpointSlices and never sees a
#   packet.
# - The lot falls once for each connection: kept connections pin requests to Pods, and new Pods wait for new
#   connections.
# - North-south traffic has a door and a guard of its own.
# - A retry needs a limit, a wait with chance in it, a deadline, and the knowledge that a second time does no harm.
# - TLS is worth as much as the check of authority *and* name, and its cost lies in handshakes and in certificates.
# - Doing this in each service costs lines, places, and languages. Moving it into a proxy beside each is the idea of
#   a mesh.
