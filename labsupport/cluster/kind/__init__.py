"""The back end that runs the cluster in containers, by kind and Docker or Podman.

What can be made beforehand lies in the cache, each in one step and named by a digest of all that goes into it, so that
an offline bundle may put the same files there:

`kind/node-<key>/image.tar`    the node image (docker-archive) with `manifest.json`: node_image.py
`kind/course-<key>/images.tar` the course's images (one docker-archive) with `manifest.json`: images.py
"""

from __future__ import annotations
