# %% [markdown]
# # A world of Deployments

# %%
from labsupport.course import lab

# %% exercise="w1-settings"
### BEGIN SOLUTION
lab.apply("""
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {from: solution}
""")
lab.apply("""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "{name:reader}"}
rules: []
""")
### END SOLUTION

# %% exercise="w1-double"
### BEGIN SOLUTION
factor = 2


def double(number):
    return factor * number


print("this is not shown")
### END SOLUTION

# %% exercise="w1-last"
### BEGIN SOLUTION
pass
### END SOLUTION
