# %% [markdown]
# # Extending the API
#
# Deployments, Services and Secrets are kinds that somebody else thought of. In this lab you think of one yourself. A
# running API server will learn it from you, without a restart and without one line of Go, and from then on treat it
# like its own: store it, guard it, watch it, print it, scale it.
#
# An operator is a kind of your own plus a program that cares for it. The next lab writes the program. This one writes
# the kind, and you will be surprised how much of the work the server does once it knows what you mean.

# %%
from labsupport import kube
from labsupport.course import lab

lab.start("o1")

# %% [markdown]
# ## A kind in a minute
#
# Ask for something that nobody has heard of:

# %%
postcards, sites = f"postcards.{lab.group}", f"sites.{lab.group}"
# !labs kubectl -n {lab.namespace} get {postcards}

# %% [markdown]
# Now one object. Its kind is CustomResourceDefinition, which is a kind about kinds. The only parts that matter for the
# moment are the names, and the schema below `openAPIV3Schema`.

# %%
print(lab.read("start/postcard.yaml"))

# %%
lab.apply(lab.read("start/postcard.yaml"))

# %%
lab.apply("""
apiVersion: "{group}/v1"
kind: Postcard
metadata:
  name: greetings
spec:
  to: everybody
  text: Wish you were here
""")

# %%
# !labs kubectl -n {lab.namespace} get {postcards}

# %%
from labsupport.course.lessons.customresource import Custom

# The documentation of a new kind may follow a second later.
Custom(lab.api, lab.group, "v1", "Postcard", "postcards", lab.namespace).settle()
# !labs kubectl explain {postcards}.spec

# %% [markdown]
# Nothing was compiled. The server made a path of its own for postcards, with GET, LIST, WATCH, PATCH and the rest, and
# they go through the same gates as everything: authentication, RBAC, admission, audit. `kubectl explain` already tells
# your descriptions to strangers.
#
# (Why the odd group name? CustomResourceDefinitions are shared by all namespaces of a cluster. The name of your lab is
# in the group so that two learners on one cluster do not teach it two sorts of postcards.)
#
# ## Your turn: `o1-schema`
#
# Your team runs small web sites, and each of them is a Deployment, a Service and a page of a wiki that says which
# numbers are allowed. **Put the wiki page into the API server**: a kind `Site`, in version `v1alpha1`.
#
# | Field | What it is | Allowed | If left out |
# |---|---|---|---|
# | `spec.release` | a whole number | from 1 | refused |
# | `spec.replicas` | a whole number | 0 to 5 | 1 |
# | `spec.address` | a text | up to 253 characters | stays out |
# | `spec.probe.path` | a text | | `/healthz` |
# | `spec.probe.seconds` | a whole number | from 1 | 10 |
#
# A Site without a `spec` makes no sense. A Site that says nothing of a `probe` gets one all the same. And what is not
# in this table is nobody's field: the server should drop it.
#
# The outside of the definition is there. The schema is yours.

# %% exercise="o1-schema"
lab.apply("""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: sites.{group}
spec:
  group: "{group}"
  scope: Namespaced
  names:
    kind: Site
    plural: sites
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          ### BEGIN SOLUTION: # YOUR SCHEMA HERE
          required: [spec]
          properties:
            spec:
              type: object
              required: [release]
              properties:
                release: {type: integer, minimum: 1}
                replicas: {type: integer, minimum: 0, maximum: 5, default: 1}
                address: {type: string, maxLength: 253}
                probe:
                  type: object
                  default: {}
                  properties:
                    path: {type: string, default: /healthz}
                    seconds: {type: integer, minimum: 1, default: 10}
          ### END SOLUTION
""")

# %% [markdown]
# The check creates Sites that are not in this notebook, as *dry runs*: they go the whole way through the server,
# except the last step into the store. `kubectl create --dry-run=server -o yaml` does the same by hand.

# %%
lab.check("o1-schema")

# %% [markdown] tags=["solution"]
# The second solution writes the default of the probe out in full. Then somebody who gives half a probe still needs the
# defaults of its two fields, so nothing is saved; an empty object is the shorter way.

# %% [markdown]
# ## The road of a request
#
# What exactly happens between your `apply` and the store? Documentation has a diagram for that. Here is yours: ten
# requests, each with something the matter with it (or nothing), sent to your own API server. Each line ends at the
# station where that request was answered, and each answer is what the server said. The times above the road come from
# the server's own metrics, read before and after bursts of creations.
#
# For the picture the definition should be complete, so this cell first applies one that is.

# %%
from labsupport.course.lessons.journey import Sent, follow


def site(name="shop", **spec):
    return {"apiVersion": f"{lab.group}/v1alpha1", "kind": "Site", "metadata": {"name": name}, "spec": spec}


lab.apply(lab.read("start/this-year.yaml"))
kube.apply(lab.api, [site("taken", release=1)], namespace=lab.namespace)
follow(
    lab.api,
    kube.objects.resource(lab.api, f"{lab.group}/v1alpha1", "Site"),
    lab.namespace,
    [
        Sent("with a made-up token", site(release=2), stranger=True),
        Sent("as somebody else", site(release=2), user="eve"),
        Sent("broken JSON", b'{"kind": "Site", '),
        Sent("a misspelt field, strictly", site(release=2, replcias=3), query={"fieldValidation": "Strict"}),
        Sent("into no namespace", site(release=2), namespace=lab.name("nowhere")),
        Sent("too many replicas", site(release=2, replicas=11)),
        Sent("a release in letters", site(release="two")),
        Sent("under a name that exists", site("taken", release=2)),
        Sent("a misspelt field", site(release=2, replcias=3), query={"fieldValidation": "Warn"}),
        Sent("nothing the matter", site(release=2)),
    ],
)

# %% [markdown]
# Some things to see in it:
#
# - Whether you *may* do something is settled before anybody has read what you sent. Request 3 is not even JSON; the
#   stranger of request 1 would never have learnt that.
# - The misspelt field of request 9 is gone, and only a warning tells. `kubectl` asks for strictness, which is request
#   4. Most programs do not, so "the API would have complained" is not something to rely on.
# - Defaults come *before* validation. What people leave out must be right as well.
# - Most of what is measured here goes into the store. Refusals never get that far, and cost the server little.
#
# ## Predict: `o1-prune`
#
# Definitions live longer than the ideas in them. A year ago there was no `probe`, and up to 20 replicas were allowed.
# Somebody made the Site `early` then, with 12 replicas, and nobody has touched it since. Then the definition changed
# to the one you know: a `probe` with defaults, and five replicas at most.
#
# Today somebody asks for it: `kubectl get` of `early`. **What does the answer show?** Choose one word.
#
# - `as-stored`: exactly what was stored. There is no probe in it, and there are 12 replicas.
# - `completed`: the probe is there, with its defaults, and there are 12 replicas.
# - `corrected`: the probe is there, and the replicas are down to what is allowed.
# - `refused`: an error. What is stored does not fit the schema any more.

# %% exercise="o1-prune"
lab.predict(
    "o1-prune",
    ### BEGIN SOLUTION: ...,
    "completed",
    ### END SOLUTION
)

# %% [markdown]
# And now the year passes. It takes a moment:

# %% exercise="o1-prune"
lab.apply(lab.read("start/last-year.yaml"))
lab.apply(lab.read("start/early.yaml"))
lab.apply(lab.read("start/this-year.yaml"))

# %%
lab.check("o1-prune")

# %% [markdown]
# The check tells what was seen, and two numbers besides: the object's `resourceVersion` and `generation`. They count
# writes, and there was none. What you see is made anew at each reading, and `managedFields` knows of nobody who wrote
# a probe:

# %%
# !labs kubectl -n {lab.namespace} get {sites} early -o yaml --show-managed-fields

# %% [markdown]
# So what about those 12 replicas? They may stay, as long as nobody touches them. Below, somebody changes the release,
# which is allowed although the object as a whole is not valid any more; then somebody asks for 13.

# %%
# !labs kubectl -n {lab.namespace} patch {sites} early --type=merge -p '{{"spec":{{"release":2}}}}'
# !labs kubectl -n {lab.namespace} patch {sites} early --type=merge -p '{{"spec":{{"replicas":13}}}}'
# !labs kubectl -n {lab.namespace} patch {sites} early --type=merge -p '{{"spec":{{"replicas":3}}}}'
# !labs kubectl -n {lab.namespace} patch {sites} early --type=merge -p '{{"spec":{{"replicas":12}}}}'

# %% [markdown]
# The last two lines are the way back in: once the number is right, it cannot become wrong again.
#
# ## Your turn: `o1-rules`
#
# A schema knows one field at a time. Your wiki page had sentences with two fields in them, and some with two *times*:
#
# 1. A site with an address is seen by the world, so it runs **at least two replicas**. (One without an address may run
#    as few as it likes.)
# 2. The release **never goes back**: each one migrates a database, and nobody has written the way back.
# 3. The address **stays**. It may be set later, when there was none. Once it is there, it is neither changed nor taken
#    away: it is printed on mugs.
#
# Whoever breaks one should read **a sentence that says why**, not an expression. The rules are written in CEL, a small
# language that always ends and that the server can price before it runs it. A rule stands beside the schema that it is
# about:
#
# ```yaml
# x-kubernetes-validations:
#   - rule: self.minimum <= self.maximum
#     message: The minimum is above the maximum.
# ```
#
# `self` is the value at this place. A rule that mentions `oldSelf` compares with what is stored. The
# [reference](https://kubernetes.io/docs/reference/using-api/cel/) has the rest.

# %% exercise="o1-rules"
lab.apply("""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: sites.{group}
spec:
  group: "{group}"
  scope: Namespaced
  names:
    kind: Site
    plural: sites
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              required: [release]
              properties:
                release: {type: integer, minimum: 1}
                replicas: {type: integer, minimum: 0, maximum: 5, default: 1}
                address: {type: string, maxLength: 253}
                probe:
                  type: object
                  default: {}
                  properties:
                    path: {type: string, default: /healthz}
                    seconds: {type: integer, minimum: 1, default: 10}
              ### BEGIN SOLUTION: # YOUR RULES, HERE OR FURTHER UP
              x-kubernetes-validations:
                - rule: "!has(self.address) || self.replicas >= 2"
                  message: A site with an address runs at least two replicas.
                - rule: self.release >= oldSelf.release
                  message: A release never goes back.
                - rule: "!has(oldSelf.address) || (has(self.address) && self.address == oldSelf.address)"
                  message: An address stays as it is once it is set.
              ### END SOLUTION
""")

# %%
lab.check("o1-rules")

# %% [markdown] tags=["solution"]
# The second solution puts the rule on releases at the release, where it reads best: the field is required, so it is
# there before and after. For the address that place would be a trap.

# %% [markdown]
# ### What may a rule cost?
#
# These rules run inside the API server, with every write. A slow one would slow down everybody, so the server
# estimates the worst case when the *definition* is applied, from the greatest sizes that the schema allows, and
# refuses what could become too dear. Here is a rule that compares each name with each other name, in a list that may
# be of any length:

# %%
greedy = kube.objects.parse(lab.read("start/postcard.yaml").replace("{group}", lab.group))[0]
spec = greedy["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
spec["properties"]["readers"] = {"type": "array", "items": {"type": "string"}}
spec["x-kubernetes-validations"] = [{"rule": "self.readers.all(a, self.readers.all(b, a.startsWith(b)))"}]
try:
    kube.apply(lab.api, [greedy])
except kube.Refused as refusal:
    print(refusal.what)

# %% [markdown]
# `maxItems` and `maxLength` would make it affordable. That is one more reason to say how long things may be.
#
# ## Your turn: `o1-subresources`
#
# So far a Site is a wish. Next to the wish belongs what has become of it, and that is written by somebody else: a
# controller. If both wrote to the same place they would overwrite each other, so the API server has **three doors** to
# one object: the object itself, its `/status` and its `/scale`.
#
# **Open the other two doors, and print a table worth looking at.**
#
# - The status has `observedGeneration` and `replicas` (both whole numbers: which generation of the wish it is about,
#   and how many are running), and `selector` (a text: the label selector of the Pods).
# - `/scale` leads to the wanted number in the spec, the running number and the selector in the status.
# - `kubectl get` shows release, wanted replicas, running replicas and age. What you call the columns is up to you.

# %% exercise="o1-subresources"
lab.apply("""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: sites.{group}
spec:
  group: "{group}"
  scope: Namespaced
  names:
    kind: Site
    plural: sites
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              required: [release]
              properties:
                release: {type: integer, minimum: 1}
                replicas: {type: integer, minimum: 0, maximum: 5, default: 1}
                address: {type: string, maxLength: 253}
                probe:
                  type: object
                  default: {}
                  properties:
                    path: {type: string, default: /healthz}
                    seconds: {type: integer, minimum: 1, default: 10}
              x-kubernetes-validations:
                - rule: "!has(self.address) || self.replicas >= 2"
                  message: A site with an address runs at least two replicas.
                - rule: self.release >= oldSelf.release
                  message: A release never goes back.
                - rule: "!has(oldSelf.address) || (has(self.address) && self.address == oldSelf.address)"
                  message: An address stays as it is once it is set.
            ### BEGIN SOLUTION: # THE STATUS HERE
            status:
              type: object
              properties:
                observedGeneration: {type: integer}
                replicas: {type: integer}
                selector: {type: string}
            ### END SOLUTION
      ### BEGIN SOLUTION: # SUBRESOURCES AND COLUMNS HERE
      subresources:
        status: {}
        scale:
          specReplicasPath: .spec.replicas
          statusReplicasPath: .status.replicas
          labelSelectorPath: .status.selector
      additionalPrinterColumns:
        - {name: Release, type: integer, jsonPath: .spec.release}
        - {name: Wanted, type: integer, jsonPath: .spec.replicas}
        - {name: Running, type: integer, jsonPath: .status.replicas}
        - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
      ### END SOLUTION
""")

# %%
lab.check("o1-subresources")

# %% [markdown]
# ### Be the controller, for a minute
#
# Make a Site and look at it. `generation` counts the wishes. You are the controller now: you have (let us say) started
# two Pods, and you write down so, together with the generation that you have worked on.

# %% tags=["learner-raises"]
from kubernetes import client

custom = client.CustomObjectsApi(lab.api)
where = {
    "group": lab.group,
    "version": "v1alpha1",
    "namespace": lab.namespace,
    "plural": "sites",
    "name": "storefront",
}

storefront = site("storefront", release=1, replicas=2, address="shop.labs.example:8080")
kube.apply(lab.api, [storefront], namespace=lab.namespace)
seen = custom.get_namespaced_custom_object(**where)["metadata"]["generation"]
report = {"observedGeneration": seen, "replicas": 2, "selector": "site=storefront"}
custom.patch_namespaced_custom_object_status(**where, body={"status": report})
lab.table(f"{lab.group}/v1alpha1", "Site")

# %% [markdown]
# Now somebody who has never heard of Sites wants more of it, and then less. Watch rule 1 guard the back door too:

# %%
# !labs kubectl -n {lab.namespace} scale {sites}/storefront --replicas=4
# !labs kubectl -n {lab.namespace} scale {sites}/storefront --replicas=1

# %%
columns = (
    "WISH:.metadata.generation,SEEN:.status.observedGeneration,WANTED:.spec.replicas,RUNNING:.status.replicas"
)
# !labs kubectl -n {lab.namespace} get {sites} storefront -o custom-columns={columns}

# %% [markdown]
# The two generations differ, and that is the whole trick: *this status is about an older wish*. Without it, "2
# running" could mean "two of four, not finished", or "the controller has not even looked". Every wait in `kubectl
# rollout status` begins by comparing these two numbers, and so should every program that you write.
#
# ## Your turn: `o1-convert`
#
# Sites are a success. Now they need several names, and `address: "shop.labs.example:8080"` has begun to hurt everybody
# who must take it apart. You design version `v1`:
#
# | `v1alpha1` | `v1` |
# |---|---|
# | `spec.address: shop.labs.example:8080` | `spec.listen: {host: shop.labs.example, port: 8080}` |
# | `spec.address: shop.labs.example` | `spec.listen: {host: shop.labs.example}` |
# | no `spec.address` | no `spec.listen` |
# | (cannot be said) | `spec.listen.aliases: [www.shop.labs.example, ...]` |
# | everything else | the same |
#
# Hosts are DNS names, so the colon means one thing only. The definition with both versions is ready. Both are
# *served*, one is *stored*: each object lies in etcd in one version, and is turned into another when somebody asks for
# that.

# %%
lab.apply(lab.read("start/two-versions.yaml"))

# %% [markdown]
# Nobody converts yet: the strategy is `None`, which means that the server changes `apiVersion` and nothing else. Here
# is one Site, asked for in both versions. Look for its address.

# %%
corner = site("corner", release=1, replicas=2, address="corner.labs.example:8080")
kube.apply(lab.api, [corner], namespace=lab.namespace)
for version in ("v1alpha1", "v1"):
    print(kube.get(lab.api, f"{lab.group}/{version}", "Site", "corner", lab.namespace)["spec"])

# %% [markdown]
# Read as `v1` it has none: `address` is no field of that version, so it was pruned on the way out. Nothing is lost
# yet, since this was only reading. But a client that reads as `v1`, changes one number and writes the whole object
# back would wipe out the address for everybody.
#
# **Write the function that does it right.** It gets a whole object as the server has it and the `apiVersion` that is
# wanted, such as `lab.group + "/v1"`, and returns the object in that version. It must **lose nothing**, in either
# direction:
#
# - there and back again gives the same object, to the last field;
# - what somebody changes in between, in the other version, is still changed afterwards;
# - name, uid, labels and the rest of `metadata` stay as they are. The server insists. Only annotations are yours to
#   use.

# %% exercise="o1-convert"
### BEGIN SOLUTION: # imports and constants, if you need any
import copy
import json

PARKED = "labs.example/aliases"


### END SOLUTION
def convert(site, wanted_version):
    """`site` in version `wanted_version`."""
    ### BEGIN SOLUTION: # YOUR CODE HERE; for now it comes back as it was
    site = copy.deepcopy(site)
    spec, metadata = site["spec"], site["metadata"]
    site["apiVersion"] = wanted_version
    if wanted_version.endswith("/v1"):
        address = spec.pop("address", None)
        if address is not None:
            host, colon, port = address.partition(":")
            spec["listen"] = {"host": host, "port": int(port)} if colon else {"host": host}
        parked = metadata.get("annotations", {}).pop(PARKED, None)
        if parked is not None:
            if "listen" in spec:
                spec["listen"]["aliases"] = json.loads(parked)
            if not metadata["annotations"]:
                del metadata["annotations"]
    else:
        listen = spec.pop("listen", None)
        if listen is not None:
            port = f":{listen['port']}" if "port" in listen else ""
            spec["address"] = listen["host"] + port
            if "aliases" in listen:
                metadata.setdefault("annotations", {})[PARKED] = json.dumps(listen["aliases"])
    ### END SOLUTION
    return site


# %% [markdown]
# Try it by hand on as many Sites as you like; nothing is deployed yet:

# %%
convert(corner, f"{lab.group}/v1")

# %% [markdown]
# When it seems right, it moves into the cluster. `lab.deploy` puts the function into a Pod, behind an HTTPS server
# with a certificate that the course has made for it, and then writes three things into the definition: the strategy
# `Webhook`, which Service to ask, and which certificate to believe. From the next request on, the API server asks you.

# %% exercise="o1-convert"
deployed = lab.deploy(convert, host="conversion", definition=f"sites.{lab.group}")
deployed

# %%
lab.check("o1-convert")

# %%
# !labs kubectl -n {lab.namespace} get sites.v1.{lab.group}
shown = "{.spec.conversion.strategy}: {.spec.conversion.webhook.clientConfig.service}"
# !labs kubectl get crd {sites} -o jsonpath='{shown}'

# %% [markdown] tags=["solution"]
# The second solution takes both directions apart into small functions and parks the whole part that is new, whatever
# it will contain one day. It is the shape that grows better; for one field the reference is shorter.

# %% [markdown]
# ## What a conversion costs
#
# Your function is now part of reading and writing. How often is it asked? The Pod numbers its calls, so that can be
# counted. Guess first, one number for each: how many calls does the API server make for **one GET** of a Site in the
# version that is stored, and in the other? For **one PATCH**? For **one LIST** of 40 Sites, asked as controllers ask?

# %% tags=["learner-raises"]
from itertools import count

from labsupport.course.turns import in_turn
from labsupport.draw.strip import strip

ROUNDS, releases = 20, count(1)
many = [site(f"many-{number:02}", release=1, replicas=2, address="m.labs.example") for number in range(40)]
kube.apply(lab.api, many, namespace=lab.namespace)


def request(verb, version):
    """What sends one such request: GET and PATCH go to two different Sites."""
    path = f"/apis/{lab.group}/{version}/namespaces/{lab.namespace}/sites"
    if verb == "LIST":
        return lambda: kube.request(lab.api, "GET", path, query={"resourceVersion": "0"})
    if verb == "GET":
        return lambda: kube.request(lab.api, "GET", f"{path}/many-00")
    merge = "application/merge-patch+json"
    return lambda: kube.request(
        lab.api, "PATCH", f"{path}/many-01", body={"spec": {"release": next(releases)}}, content_type=merge
    )


def calls():
    """The number of the Pod's last call."""
    lines = [line for line in deployed.logs(20).splitlines() if line.startswith("call ")]
    return max(int(line.split(":")[0].removeprefix("call ")) for line in lines)


def cost(title):
    actions = {
        f"{verb} {version}": request(verb, version)
        for verb in ("GET", "PATCH", "LIST")
        for version in ("v1alpha1", "v1")
    }
    took, rows = in_turn(actions, rounds=ROUNDS), {}
    for name, action in actions.items():
        before = calls()
        for _ in range(10):
            action()
        rows[f"{name}: {(calls() - before) / 10:.1f} calls"] = took[name]
    return strip(rows, title=f"{title}: {ROUNDS} requests of each sort", unit="ms")


cost("Stored as v1alpha1")

# %% [markdown]
# Compare with your guesses.
#
# - **GET** reads from etcd. In the stored version nobody is asked; in the other there is one call, and the distance
#   between the two rows is the detour: JSON out, TLS, your Python, JSON back.
# - **PATCH** in the version that is not stored goes back and forth: the old object is brought up to be patched, the
#   new one down to be stored and up again to be answered, the managers of fields are compared in the versions in which
#   they wrote, and watchers want theirs too. Even a PATCH in the stored version makes a call, if somebody reads the
#   other one: see LIST.
# - **LIST** is the surprise: no calls at all. The server keeps a cache of all Sites for *each* version, and converts
#   when something is written. Reading many is cheap, and the writers have paid for it.
#
# ### Changing what is stored
#
# `v1` is the version with a future, so it should be the one that is stored. That is a switch in the definition:

# %% tags=["learner-raises"]
definition = kube.get(lab.api, "apiextensions.k8s.io/v1", "CustomResourceDefinition", sites)
for version in definition["spec"]["versions"]:
    version["storage"] = version["name"] == "v1"
path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{sites}"
kube.request(lab.api, "PUT", path, body=definition)["status"]["storedVersions"]

# %% [markdown]
# The list that came back says in which versions something *may* lie in the store. There are two names in it now, since
# the switch rewrites nothing: old objects lie there as they were until somebody writes them. Which rows will have
# changed? The two GETs go to a Site that nobody has written since; the two PATCHes write theirs.

# %% tags=["learner-raises"]
cost("After the switch")

# %% [markdown]
# The GETs have not changed. What lies there as `v1alpha1` is given as it lies to those who want that, and is still
# converted for whoever wants `v1`. The PATCHes have: what is written now is stored as `v1`. So write every Site once,
# without changing anything. The server notices that the bytes in the store would differ, and stores the new ones.

# %% tags=["learner-raises"]
for each in kube.list_objects(lab.api, f"{lab.group}/v1", "Site", lab.namespace):
    path = f"/apis/{lab.group}/v1/namespaces/{lab.namespace}/sites/{each['metadata']['name']}"
    kube.request(lab.api, "PUT", path, body=each)
cost("After each Site was written once")

# %% [markdown]
# Now a GET as `v1` is free and the old version pays, as it should be. Only after this walk through all objects may the
# old name be taken from `status.storedVersions`, and only after *that* may the old version be taken out of the
# definition. Who skips the walk has objects in etcd that no program can read any more. (Kubernetes has a controller
# for the walk, `StorageVersionMigration`; lab O7 lets it loose on something bigger.)
#
# And the webhook stays in the way for as long as anybody uses the old version. If its Pod is gone, nobody can GET or
# write a Site in that version. That, too, is for O7. The last calls of your function:

# %% tags=["learner-raises"]
print(deployed.logs(6))

# %% [markdown]
# ## Where you stand

# %%
lab.progress()

# %% [markdown]
# ## What you can now explain
#
# - A CustomResourceDefinition teaches a running API server a kind; schema, pruning and defaults decide what is stored,
#   and a default inside an object needs an object around it.
# - A request is authenticated, authorized, decoded, admitted, validated, admitted again and stored, in this order, and
#   the status of a refusal tells which of them refused.
# - Reading defaults and prunes; only writing validates, and it forgives what an update leaves alone.
# - CEL rules compare fields, and the old object with the new one; a rule sees only what its place lets it see.
# - Spec, status and scale are three doors to one object; `generation` and `observedGeneration` say whether a status is
#   about the present wish.
# - One version is stored, all others are converted, at a price; a conversion must lose nothing, also what the other
#   version cannot express, and a new storage version changes nothing that lies in the store.
