# %% [markdown]
# # A world

# %% exercise="w2-one"
### BEGIN SOLUTION
pass
### END SOLUTION
