"""What the strategy None does."""


def convert(site, wanted_version):
    return {**site, "apiVersion": wanted_version}
