"""What is counted, read by Prometheus's own parser."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.runtime.http.builders import png

from convsmith_runtime.http.metrics import Histogram, Metrics


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def predicted(found, status):
    return found.get(("convsmith_requests_total", ("path", "/v1/predict"), ("status", status)), 0)


def test_requests_images_and_refusals_are_counted(client):
    before = samples(client.get("/metrics").text)
    for data in (png(), png(), b"no image"):
        client.post("/v1/predict", files={"image": data})
    client.get("/strange/path")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    after = samples(answer.text)
    assert predicted(after, "200") - predicted(before, "200") == 2
    assert predicted(after, "422") - predicted(before, "422") == 1
    assert after["convsmith_refused_total", ("reason", "image")] >= 1
    assert (
        after[("convsmith_predict_seconds_count",)]
        - before.get(("convsmith_predict_seconds_count",), 0)
        == 3
    )
    images = ("convsmith_batch_images_sum",)
    assert after[images] - before[images] == 2
    assert after[("convsmith_waiting_images",)] == 0
    assert after[("process_cpu_seconds_total",)] > 0
    assert not any("strange" in str(key) for key in after)


def test_a_histogram_counts_up_to_each_bound():
    histogram = Histogram((1, 2, 4))
    for value in (0.5, 1, 1.5, 3, 9):
        histogram.add(value)
    found = samples("# TYPE h histogram\n" + "\n".join(histogram.lines("h")) + "\n")
    counts = [found["h_bucket", ("le", bound)] for bound in ("1", "2", "4", "+Inf")]
    assert counts == [2, 3, 4, 5]
    assert found[("h_sum",)] == pytest.approx(15)
    assert found[("h_count",)] == 5


def test_every_metric_is_explained():
    metrics = Metrics()
    metrics.count("/v1/predict", 200, 0.01)
    families = list(text_string_to_metric_families(metrics.text(3)))
    assert len(families) >= 6
    assert all(family.documentation and family.type != "unknown" for family in families)
