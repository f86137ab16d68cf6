"""On a cluster: the shipped state is not solved, solutions pass, wrong answers are rejected for the right reason."""

from __future__ import annotations

import pytest

from labsupport import kube
from labsupport.cluster.interface import Cluster
from labsupport.course import content
from labsupport.course.manifest import Lab, labs

pytestmark = pytest.mark.on_cluster


@pytest.mark.parametrize("lab", [pytest.param(lab, id=lab.id) for lab in labs()])
def test_exercises_are_honest(lab: Lab, cluster: Cluster) -> None:
    for result in content.prove(kube.connect(cluster.kubeconfig), content.every([lab])):
        assert result.ok, result
