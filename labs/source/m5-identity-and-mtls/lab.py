# %% [markdown]
# # Identity and mTLS
#
# In lab M1 you gave one call of one service TLS, by hand, and it had half of what it should: `orders` knew whom it
# talked to, `payments` did not. This lab gives both to every call, and takes your code out again. Three questions
# lead through it. Who gets a certificate, and how does anybody know that it is them? What does somebody still see who
# reads along? And how does one take an identity away from somebody who should not have it any more?
#
# Everything here happens on your cluster, and you will be the one who reads along.

# %%
from labsupport.course import lab

lab.start("m5")

# %% [markdown]
# ## Reading along
#
# In your namespace run an `inventory` (two Pods), and callers that ask it again and again. Nothing is encrypted, and
# none of the Pods has a proxy. The Pod `node` has the network of its node, as a switch or a router would, or whoever
# broke into one. This is what it sees of one Pod of the inventory in three seconds:

# %%
lab.wire("inventory")

# %% [markdown]
# Who asks whom, for what, how often; and all answers, if one cared to print them. (`tcpdump` does the reading, and a
# short program puts packets together to connections. Whose address ends in `.0.1`? It is the node's own: kubelet asks
# after the Pod's health.)
#
# Reading along is half of the trouble. The other half: the inventory answers everybody. It sees addresses, and an
# address belongs to whichever Pod happens to have it today.
#
# ## Who are you?
#
# So each workload needs a name that it can prove. Meshes use names of this form, **SPIFFE IDs**:
#
#     spiffe://labs.example/ns/NAMESPACE/sa/SERVICEACCOUNT
#
# `labs.example` is the *trust domain*: all those who believe one authority. The rest says which **ServiceAccount**
# the Pod runs as. Not which Pod: Pods come and go, and policies would have to follow. And not which image or label,
# for anybody who may write a Pod may write those.
#
# A certificate with such a name in it is called an X509-SVID. How does a Pod come by one? It makes a key, which never
# leaves it, and sends a **certificate request** (CSR) to the authority. And how does the authority know who is
# asking? Kubernetes has proof to offer: a **projected token**. The kubelet fetches it for one Pod, for one
# *audience*, for a short time. Here is one, as the kubelet would get it, for a Pod of the inventory:

# %%
import base64
import json

from labsupport import kube


def token_for(account, pod="", audience="mesh.labs.example"):
    """A token of a ServiceAccount, tied to a Pod (by name) if one is given."""
    spec = {"audiences": [audience], "expirationSeconds": 600}
    if pod:
        uid = kube.get(lab.api, "v1", "Pod", pod, lab.namespace)["metadata"]["uid"]
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{lab.namespace}/serviceaccounts/{account}/token"
    return kube.request(lab.api, "POST", path, body=body)["status"]["token"]


pod = kube.list_objects(lab.api, "v1", "Pod", lab.namespace, labels="app=inventory")[0]
token = token_for("inventory", pod["metadata"]["name"])
claims = token.split(".")[1]
print(json.dumps(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))), indent=1))

# %% [markdown]
# Anybody can read this, and nobody but the API server can make it: it is signed. Whether it is good *now* (the Pod
# may be gone since) only the API server knows, and one asks it with a **TokenReview**:

# %%
from labsupport.operators.authority import review_of

review = review_of(lab.api, token)
print(json.dumps(review, indent=1))

# %% [markdown]
# ## `m5-issue`: decide who gets a certificate
#
# Now be the authority. **Write `decide(review, pod, csr)`: it returns the SPIFFE ID to certify, or raises
# `NotCertified` with the reason.** `review` is a status as above, `pod` the Pod that the token names, as the API
# server has it (or `None`), and `csr` what the request says:
#
# | Key | What |
# |---|---|
# | `names` | the names that it asks for, a list of texts; it may be empty |
# | `signed` | whether the key in it has signed it: whoever made it had that key |
# | `key` | a fingerprint of the public key |
# | `brought_by` | the uid of the Pod that brought this key first, `""` if nobody has yet |
#
# The rules:
#
# 1. The API server believes the token, and the token is for the audience `mesh.labs.example`. (The review was asked
#    about two audiences. A token for the other one is what lies in every Pod, and goes to many places.)
# 2. It is the token of a ServiceAccount, and tied to one Pod: name and uid.
# 3. That Pod is there: with this uid, running as this ServiceAccount, and not over (its phase is neither `Succeeded`
#    nor `Failed`). A Pod that is starting, or about to go, needs a certificate as well.
# 4. The request is signed, and asks for no other name than the Pod's own. Asking for none is fine.
# 5. The key is new, or this same Pod has brought it before.
#
# What is missing in the input is not given. The trust domain is `labs.example`.

# %% exercise="m5-issue"
from labsupport.operators.authority import NotCertified

AUDIENCE = "mesh.labs.example"
POD, UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"


def decide(review, pod, csr):
    """The SPIFFE ID to certify; NotCertified says why there is none."""
    ### BEGIN SOLUTION: return csr["names"][0]  # whatever it asks for
    if not review.get("authenticated"):
        raise NotCertified("the API server does not know this token")
    if AUDIENCE not in (review.get("audiences") or []):
        raise NotCertified("the token is for somebody else")
    user = review.get("user") or {}
    words = str(user.get("username")).split(":")
    if len(words) != 4 or words[:2] != ["system", "serviceaccount"]:
        raise NotCertified("no ServiceAccount")
    namespace, account = words[2:]
    extra = user.get("extra") or {}
    if not (extra.get(POD) and extra.get(UID)):
        raise NotCertified("the token is tied to no Pod")
    uid = extra[UID][0]
    if pod is None or pod["metadata"]["uid"] != uid:
        raise NotCertified("that Pod is gone")
    if pod["spec"].get("serviceAccountName") != account:
        raise NotCertified("that Pod runs as somebody else")
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        raise NotCertified("that Pod is over")
    identity = f"spiffe://labs.example/ns/{namespace}/sa/{account}"
    if not csr["signed"] or any(each != identity for each in csr["names"]):
        raise NotCertified("the request is not one that this Pod may make")
    if csr["brought_by"] not in ("", uid):
        raise NotCertified("another Pod has this key")
    return identity
    ### END SOLUTION


# %% [markdown]
# Try it on the review from above, and change one thing at a time:

# %%
csr = {"names": [], "signed": True, "key": "7f3a", "brought_by": ""}
try:
    print(decide(review, pod, csr))
except (NotCertified, IndexError) as error:
    print(f"none: {error}")

# %% [markdown]
# When you like it, put it to work: the authority itself is a small program in a Pod (it asks the API server, and
# signs), and what it signs is your decision.

# %% exercise="m5-issue"
lab.deploy(decide, host="authority", name="authority")

# %%
lab.check("m5-issue")

# %% [markdown]
# The last rule is about a request that is sent again by somebody else. It would give a thief nothing: the certificate
# is of no use without the key. But now two Pods would have a certificate for one key, and whoever has that key could
# choose who to be.
#
# ## Into the mesh
#
# The mesh has such an authority, and a proxy beside each Pod that asks it (lab M3). What is missing is a way from
# here to there while customers buy. Two callers ask the inventory all the time: `customers`, twenty times a second,
# and another one, more seldom. If a request of theirs is ever not answered, they write it down, once, in the
# ConfigMap `complaints`; restarting them makes nothing undone.

# %%
# !labs kubectl -n {lab.namespace} get deployments
# !labs kubectl -n {lab.namespace} logs deploy/customers -c customers --tail=1

# %% [markdown]
# Three things are to be done:
#
# - The label `mesh.labs.example/inject: "true"` on the namespace. From then on new Pods get a proxy.
# - New Pods. `lab.restart("a", "b")` does what `kubectl rollout restart` does, and waits; with `annotations={"key":
#   "value"}` the new Pods have these annotations, too. (Apart from `node`, which has the node's network, and
#   `authority`, which cannot begin by having an identity, all Pods are to be in the mesh.)
# - A **PeerAuthentication** with `mode: STRICT`, of the name `default`. It tells the proxies of a namespace to take
#   nothing but TLS from a caller with a certificate. By default they take plaintext as well (`PERMISSIVE`).
#
# Between the second and the third you may find that somebody still speaks plaintext. You know how to read along;
# `labs mesh status` knows more:

# %%
# !labs mesh status

# %% [markdown]
# ## `m5-strict`: and nobody notices
#
# **Bring this namespace from plaintext to STRICT without a single failed request.** The label and the
# PeerAuthentication are YAML, for `lab.apply`: the API version of the second is `mesh.labs.example/v1alpha1`, and the
# namespace's own name is written `{namespace}`. You may spread the steps over several cells.

# %% exercise="m5-strict"
### BEGIN SOLUTION: # YOUR STEPS HERE
lab.apply("""
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels:
    mesh.labs.example/inject: "true"
""")
lab.restart("inventory", "customers", "load")
lab.restart("till", annotations={"mesh.labs.example/inject": "true"})
lab.apply("""
apiVersion: mesh.labs.example/v1alpha1
kind: PeerAuthentication
metadata:
  name: default
spec:
  mode: STRICT
""")
### END SOLUTION

# %%
lab.check("m5-strict")

# %%
# !labs kubectl -n {lab.namespace} get configmap complaints -o jsonpath={{.data}}
# !labs kubectl -n {lab.namespace} get pods,peerauthentications

# %% [markdown]
# ### The mesh's own authority
#
# Each proxy has asked the control plane for a certificate, as you would have decided it above. Ask it yourself, from
# beside the proxy of `load`, where its token lies: for its own name; for the till's; and with the other token that
# each Pod has, the one for the API server.

# %%
from labsupport.course.certificates import certificate_request
from labsupport.errors import LabsError
from labsupport.kube.execute import execute
from labsupport.mesh import names

OWN, EVERYDAY = names.TOKEN_FILE, "/var/run/secrets/kubernetes.io/serviceaccount/token"
URL = f"https://{names.CONTROL}.{names.SYSTEM}.svc:{names.HTTPS}/certificates"


def ask_the_mesh(account, token=OWN):
    """What the control plane answers to the Pod of load, when that asks for the identity of `account`."""
    pods = kube.list_objects(lab.api, "v1", "Pod", lab.namespace, labels="app=load")
    uri = f"spiffe://labs.example/ns/{lab.namespace}/sa/{account}"
    body = json.dumps({"csr": certificate_request(uri)})
    bearer = (
        f"sed 's/^/Authorization: Bearer /' {token}"  # into curl by a pipe: no list of processes shows it
    )
    roots = f"{names.TRUST_DIRECTORY}/{names.ROOTS}"
    command = ["sh", "-c", f"{bearer} | curl -s -m 5 -H @- --cacert {roots} -d '{body}' {URL}"]
    pod = pods[-1]["metadata"]["name"]
    try:
        return execute(lab.api, lab.namespace, pod, command, container=names.PROXY_CONTAINER)[:240]
    except LabsError as error:
        return f"nobody was asked: {error.what[:80]}"


print(ask_the_mesh("load"))
print(ask_the_mesh("till"))
print(ask_the_mesh("load", EVERYDAY))

# %% [markdown]
# It also looks at the address that a request comes from, which must be that of the Pod whose token it is: a token
# that was stolen is good in its own Pod only.
#
# ### What STRICT does not break, and what it does
#
# **Probes.** kubelet has no certificate; it is not of the mesh. If the mesh had left the Pods' probes as they were,
# none of them would be ready now. It has rewritten them instead: kubelet asks the helper beside Envoy (port 15020,
# not captured), and the helper asks the application, from inside.

# %%
PROBE = ".items[0].spec.containers[0].readinessProbe.httpGet"
# !labs kubectl -n {lab.namespace} get pods -l app=inventory -o jsonpath={{{PROBE}}}

# %% [markdown]
# The tempting way out would be to let everything from the node's address through. Then whatever comes by a NodePort
# would come through as well, in the clear: it has the same address. And a `tcpSocket` probe, had it been left alone,
# would always pass: Envoy accepts the connection, whether the application listens or not.
#
# **The API server.** It is outside of the mesh, too, and so is what goes through it: `kubectl port-forward` reaches
# the Pod's loopback and works, a Service's `proxy` does not. That is why `load` has an annotation that leaves its
# port 8080 to everybody (`mesh.labs.example/exclude-inbound-ports`); remember what that means for the header further
# below.

# %%
try:
    print(
        kube.request(
            lab.api, "GET", f"/api/v1/namespaces/{lab.namespace}/services/inventory:80/proxy/stock/tea"
        )
    )
except kube.Refused as error:
    print(error.what)

# %% [markdown]
# **A Pod's address.** In many meshes a call to a Pod's address, instead of a Service's name, goes out as it is, in
# the clear, and a strict peer cuts it off: the proxy knows Services, not Pods, and says only `503 UC` or nothing at
# all. This mesh knows its Pods, so it is TLS either way. There is a price, though: behind a Service's name the proxy
# expects the identities of that Service, behind an address it takes anybody of the mesh. Call by name.

# %%
taken = lab.wire(
    "inventory", lambda address: lab.load(f"http://{address}:8080/stock/tea", requests=3, keep=False)
)
taken

# %% [markdown]
# ## `m5-wire`: what can still be read?
#
# You have just read along again. Above are connections that were open before, and three that were begun meanwhile, to
# the Pod's address. Nine things somebody might want to know:
#
# | | |
# |---|---|
# | `"addresses"` | of which Pods |
# | `"ports"` | on which port the service listens |
# | `"sizes"` | how much was said, and when |
# | `"offered protocols"` | which protocols the caller offers to speak inside of TLS (ALPN) |
# | `"path"` | what was asked for |
# | `"headers"` | of the request or the answer |
# | `"answer"` | what it contains |
# | `"caller's identity"` | its SPIFFE ID, from its certificate |
# | `"server's identity"` | likewise |
#
# **Which of them can be read?** Guess first, then look: at the table, and with `taken.contains("...")`, which
# searches all bytes that were taken.

# %% exercise="m5-wire"
### BEGIN SOLUTION: visible = ...
visible = {"addresses", "ports", "sizes", "offered protocols"}
### END SOLUTION

# %%
lab.check("m5-wire")

# %% [markdown]
# ### Three who are turned away
#
# `node` is in no mesh. It greets the inventory in three ways: with TLS 1.2; with 1.3 and no certificate; and with one
# that it has made itself, in which stands the till's SPIFFE ID, letter by letter.

# %%
address = taken.address
forged = f"spiffe://labs.example/ns/{lab.namespace}/sa/till"
FORGE = "openssl req -x509 -newkey rsa:2048 -nodes -keyout /tmp/k.pem -out /tmp/c.pem -subj /"
GREET = f"(sleep 1) | openssl s_client -connect {address}:8080 -alpn labs.mesh"
ALERT = "2>&1 | grep -o 'alert [a-z ]*:'"

# %%
# !labs kubectl -n {lab.namespace} exec node -- bash -c "{GREET} -tls1_2 {ALERT}"
# !labs kubectl -n {lab.namespace} exec node -- bash -c "{GREET} {ALERT}"
# !labs kubectl -n {lab.namespace} exec node -- bash -c "{FORGE} -addext subjectAltName=URI:{forged} 2>/dev/null"
# !labs kubectl -n {lab.namespace} exec node -- bash -c "{GREET} -cert /tmp/c.pem -key /tmp/k.pem {ALERT}"

# %% [markdown]
# A name is worth what the authority behind it is worth. The proxies of the inventory have counted:
# `fail_verify_no_cert` for no certificate, `fail_verify_error` for one of a stranger.

# %%
COUNTS = "127.0.0.1:15000/stats?filter=listener.*fail_verify"
# !labs kubectl -n {lab.namespace} exec {taken.pod} -c inventory -- curl -s "{COUNTS}"

# %% [markdown]
# TLS 1.3 is no default here, but a demand, and whoever configures Envoy by hand meets it from the other side. Here is
# an Envoy without a mesh, with two doors that lead to the inventory. Behind the first the version is told as
# `tls_minimum_protocol_version: TLSv1_3`; behind the second there is `tls_maximum_protocol_version: TLSv1_3` as well,
# which looks superfluous:

# %%
lab.apply(lab.read("start/byhand.yaml"))
# !labs kubectl -n {lab.namespace} wait --for=condition=Ready pod/byhand --timeout=30s
# !labs kubectl -n {lab.namespace} exec byhand -- curl -s -m 3 -i localhost:9001/ | head -1
# !labs kubectl -n {lab.namespace} exec byhand -- curl -s -m 3 -i localhost:9002/ | head -1

# %%
# !sleep 1; labs kubectl -n {lab.namespace} logs byhand --tail=2
# !labs kubectl -n {lab.namespace} delete pod/byhand configmap/byhand

# %% [markdown]
# Twice 503, and for a caller there is no difference. The log has one, since `%UPSTREAM_TRANSPORT_FAILURE_REASON%`
# stands in its format: at the first door Envoy did not even greet. As a *client* it speaks at most TLS 1.2 unless it
# is told otherwise; from 1.3 to 1.2 is an empty range (`NO_SUPPORTED_VERSIONS_ENABLED`). At the second it greeted,
# and was turned away, having no certificate. So: put both lines there, and that word in the log. The mesh does:

# %%
from labsupport.mesh.translate import tls

print(json.dumps(tls.upstream([], ["h2"])["typed_config"]["common_tls_context"]["tls_params"], indent=1))

# %% [markdown]
# ### Who is calling, told to the application
#
# The inventory's proxy knows who calls: it has seen the certificate. The application sees a request from its own Pod.
# So the proxy writes it down, in the header `x-forwarded-client-cert`. Here is a service that answers with what
# arrived, and `load` calls it, and *lies*:

# %%
lab.apply(lab.read("start/echo.yaml"))
# !labs kubectl -n {lab.namespace} rollout status deployment echo --timeout=60s

# %%
LIE = "x-forwarded-client-cert: URI=spiffe://labs.example/ns/bank/sa/director"
# !labs kubectl -n {lab.namespace} exec deploy/load -c load -- curl -s -H "{LIE}" http://echo/ | grep -i client

# %% [markdown]
# The proxy has thrown the lie away and written what it has seen (`SANITIZE_SET`). Now the trap. The second port of
# this service, 8081, is excluded from capture by an annotation, as people do when something does not work at once.
# `node`, which is in no mesh, tells the same lie at both doors:

# %%
echo = kube.get(lab.api, "v1", "Service", "echo", lab.namespace)["spec"]["clusterIP"]
# !labs kubectl -n {lab.namespace} exec node -- curl -sS -m 3 -H "{LIE}" http://{echo}/ | grep -i client
# !labs kubectl -n {lab.namespace} exec node -- curl -sS -m 3 -H "{LIE}" http://{echo}:8081/ | grep -i client

# %% [markdown]
# At the first door it is turned away. At the second it is the bank's director, for whoever reads the header. It is
# worth something only where *every* request has gone through a proxy that overwrites it. So: no excluded port on a
# Pod that believes the header; STRICT; and an application that listens for such requests on one port and for others
# on another. Better still, let the proxy decide who may call (lab M6), and let the application not care.
#
# ## New certificates all the time
#
# A certificate of this mesh is good for an hour, and is renewed after 50 to 70 % of it. To watch that, an hour is
# long. The following gives certificates of ten seconds, and restarts the Pods of the inventory, `customers` and
# `load`, so that they ask for such. (What one learner sets here holds for the whole mesh. At the end of this lab it is
# an hour again.)

# %%
lab.apply(lab.read("start/short.yaml"))
# !labs kubectl -n {lab.namespace} rollout status deployment inventory --timeout=60s
# !labs kubectl -n {lab.namespace} rollout status deployment customers --timeout=60s
# !labs kubectl -n {lab.namespace} rollout status deployment load --timeout=60s

# %% [markdown]
# ## `m5-rotate`: what a new certificate changes
#
# Two proxies have a connection to each other and keep it, as proxies do. **The certificates with which it was opened
# run out. What becomes of the connection?** Commit one of these before you look: `"it goes on"`, `"it is closed"`, or
# `"both sides greet again, with the new certificate"`.

# %% exercise="m5-rotate"
### BEGIN SOLUTION: guess = None  # one of the three texts
guess = "it goes on"
### END SOLUTION
lab.predict("m5-rotate", guess)

# %%
lab.check("m5-rotate")

# %% [markdown]
# See for yourself, for 25 seconds: a steady load, and what can be read on the wire meanwhile. Count the greetings of
# `load`, and compare with the certificates that its proxy has been given.

# %%
lab.wire(
    "inventory",
    lambda address: print(lab.load("http://inventory/stock/tea", requests=500, rate=20)),
    seconds=25,
)

# %%
# !labs kubectl -n {lab.namespace} logs deploy/load -c mesh-proxy | grep "certificate of" | tail -6

# %% [markdown]
# ## `m5-revoke`: take an identity away
#
# `load` has been taken over. What it does now, an attacker does, with the identity of `load`; and it has begun to ask
# the inventory twice a second, to be there when something changes.

# %%
lab.apply(lab.read("start/taken-over.yaml"))
# !labs kubectl -n {lab.namespace} rollout status deployment load --timeout=60s

# %% [markdown]
# **See to it that the inventory answers it no more: not over connections that its proxy keeps open, and not over new
# ones.** Leave its Pod as it is: you do not own it any more, and somebody wants to examine it. `customers` and the till
# must not lose a request.
#
# You need no policy for it (that is lab M6), and nothing that you have not used above. To delete an object from here:
# `kube.delete(lab.api, [{"apiVersion": "v1", "kind": ..., "metadata": {"name": ...}}], namespace=lab.namespace)`. How
# far you are, say two lines:

# %%
print(lab.load("http://inventory/stock/tea", requests=6))
lab.wire(
    "inventory", lambda address: print(lab.load(f"http://{address}:8080/stock/tea", requests=3, keep=False))
)

# %% exercise="m5-revoke"
from labsupport import kube

### BEGIN SOLUTION: # YOUR STEPS HERE
account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "load"}}
kube.delete(lab.api, [account], namespace=lab.namespace)
address = lab.wire("inventory").address
while lab.load(f"http://{address}:8080/stock/tea").ok:  # each time over a new connection
    pass
lab.restart("inventory")
### END SOLUTION

# %%
lab.check("m5-revoke")

# %%
# !labs kubectl -n {lab.namespace} logs deploy/load -c mesh-proxy | grep certificate | tail -3

# %% [markdown]
# Up to two more certificates were given: the API server holds on for ten seconds to what it has said of a token. Then
# the last one had to run out. Twenty seconds here, an hour and more usually: so long an attacker has, if this is all
# you do. Short certificates are cheap to have, as you saw, and nobody notices their renewal. That is the reason for
# short ones.
#
# The attack is over; `load` gets an account and a Pod again. And the front door of lab M1's shop comes, in the mesh.

# %%
lab.apply(lab.read("start/again.yaml"))
lab.apply(lab.read("../../../clusters/manifests/shop/web.yaml"))
# !labs kubectl -n {lab.namespace} rollout status deployment load --timeout=60s
# !labs kubectl -n {lab.namespace} rollout status deployment web --timeout=60s

# %% [markdown]
# ## `m5-untls`: delete the TLS code
#
# This is what you wrote in lab M1, all of it: an authority, a certificate, a Secret, a payments with a certificate,
# and an orders with your function `trust`. It still works in the mesh. But what is in these connections, the proxies
# do not know any more: they carry bytes that somebody else has encrypted.

# %% exercise="m5-untls"
import json
import ssl

from labsupport import kube
from labsupport.course.certificates import Authority


def trust(authority):
    """The context for calls to payments; `authority` is PEM text."""
    return ssl.create_default_context(cadata=authority)


authority = Authority("the shop")
issued = authority.issue("payments")
files = {"tls.crt": issued.certificate, "tls.key": issued.key}
secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "payments-tls"}, "stringData": files}
lab.apply(json.dumps(secret))
lab.apply(lab.read("../m1-east-west-traffic/start/payments-tls.yaml"))
caller = lab.deploy(
    trust,
    host="caller",
    name="caller",
    role="trust",
    payments="https://payments",
    authority=authority.certificate,
)
lab.apply(lab.read("../../../clusters/manifests/shop/orders.yaml").split("---")[1])

# %%
# !labs kubectl -n {lab.namespace} rollout status deployment payments --timeout=60s
# !labs kubectl -n {lab.namespace} exec deploy/web -c web -- curl -s localhost:8080/buy/tea

# %% [markdown]
# **Take it out again: payments and orders without certificate, key, Secret and TLS context, and their calls encrypted
# all the same.**

# %% exercise="m5-untls"
### BEGIN SOLUTION: # YOUR STEPS HERE
caller.stop()
lab.apply(lab.read("../../../clusters/manifests/shop/payments.yaml"))
lab.apply(lab.read("../../../clusters/manifests/shop/orders.yaml"))
kube.delete(lab.api, [secret], namespace=lab.namespace)
### END SOLUTION

# %%
# !labs kubectl -n {lab.namespace} rollout status deployment payments --timeout=60s
# !labs kubectl -n {lab.namespace} rollout status deployment orders --timeout=60s

# %%
lab.check("m5-untls")

# %% [markdown]
# And what can be read of a purchase now?

# %%
lab.wire("payments", lambda address: print(lab.load("http://web/buy/tea", requests=3)))

# %% [markdown]
# The bill of lab M1 had seven rows. Of those that were about TLS none is left: no code, no YAML, no objects to change
# for each pair of services, no certificate that ends on a date which somebody must remember. What has come instead is
# a proxy in each Pod (lab M10 weighs it), and one authority that everybody must be able to trust.
#
# ## What you can now explain
#
# - A workload's identity is its ServiceAccount. A projected token proves it to the authority, which must look at its
#   audience, its Pod and the key, and believe nothing that a request says of itself.
# - PERMISSIVE first, then find who still speaks plaintext, then STRICT: nobody notices.
# - Mutual TLS hides what is said and, in version 1.3, who says it. It does not hide that something is said.
# - Certificates are looked at when a connection begins. That makes renewal harmless, and taking an identity away
#   slow.
# - `x-forwarded-client-cert` is true where every request goes through a proxy, and a lie waiting where one does not.
# - Probes, the API server and Pods that have opted out are outside of the mesh, and each needs an answer.
