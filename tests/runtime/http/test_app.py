"""The routes, over a real socket."""

import base64
import contextlib
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy
import pytest
from PIL import Image
from tests.runtime.http.builders import CLASSES, SIZE, Slow, make_bundle, png, predictor, serving

from convsmith_runtime.http.limits import Limits


def ask(client, *images, **params):
    files = [("image", (name, data)) for name, data in images]
    return client.post("/v1/predict", files=files, params=params)


def labels(answer):
    assert answer.status_code == 200, answer.text
    return [each["guesses"][0]["label"] for each in answer.json()["predictions"]]


def test_an_image_is_answered_with_its_likeliest_classes(client, bundle):
    answer = ask(client, ("sky.png", png("blue")))
    (only,) = answer.json()["predictions"]
    assert only["image"] == "sky.png"
    assert only["maps"] is only["seen"] is None
    expected = predictor(bundle).predict(io.BytesIO(png("blue")))
    for guess, other in zip(only["guesses"], expected.guesses, strict=True):
        assert guess["label"] == other.label == CLASSES[guess["index"]]
        assert guess["probability"] == pytest.approx(other.probability, abs=1e-6)
    assert sum(guess["probability"] for guess in only["guesses"]) == pytest.approx(1)


def test_all_ways_of_sending_an_image_come_to_the_same(client):
    data = png("green", kind="JPEG")
    text = base64.b64encode(data).decode()
    ways = [
        ask(client, ("a", data)),
        client.post("/v1/predict", json={"images": [text]}),
        client.post("/v1/predict", json={"images": [f"data:image/jpeg;base64,{text}"]}),
        client.post("/v1/predict", content=data, headers={"Content-Type": "image/jpeg"}),
    ]
    guesses = [way.json()["predictions"][0]["guesses"] for way in ways]
    assert guesses[0][0]["label"] == "green"
    assert all(each == guesses[0] for each in guesses)


def test_several_images_are_answered_in_order(client):
    colours = ["blue", "red", "green", "red"]
    answer = ask(client, *((f"{colour}.png", png(colour)) for colour in colours), top=1)
    assert labels(answer) == colours
    assert all(len(each["guesses"]) == 1 for each in answer.json()["predictions"])


def test_top_is_a_number_from_one(client):
    assert len(ask(client, ("a", png()), top=1000).json()["predictions"][0]["guesses"]) == 3
    for top in ("0", "-1", "x", "1001", "1e3"):
        answer = ask(client, ("a", png()), top=top)
        assert answer.status_code == 422
        assert answer.json()["error"]["kind"] == "parameter"
        assert answer.json()["error"]["message"].startswith("top: ")


def test_maps_are_those_of_the_guesses_and_come_with_the_image_as_seen(client):
    image = Image.new("RGB", (SIZE, SIZE), "black")
    image.paste((255, 0, 0), (0, 0, SIZE, SIZE // 2))  # red above
    file = io.BytesIO()
    image.save(file, "PNG")
    (only,) = ask(client, ("a", file.getvalue()), maps=True).json()["predictions"]
    maps = numpy.array(only["maps"])
    assert maps.shape == (3, 4, 4)
    assert only["guesses"][0]["label"] == "red"
    assert (maps[0, :2] > 9).all()
    assert (maps[0, 2:] == 0).all()
    assert (maps[1:] == 0).all()
    seen = base64.b64decode(only["seen"].removeprefix("data:image/png;base64,"))
    assert numpy.array_equal(Image.open(io.BytesIO(seen)), numpy.asarray(image))


def test_a_network_without_maps_says_so(tmp_path):
    path = make_bundle(tmp_path / "plain.convsmith", maps=False)
    with serving(predictor(path)) as url, httpx.Client(base_url=url) as client:
        assert client.get("/v1/model").json()["maps"] is False
        (only,) = ask(client, ("a", png()), maps=True).json()["predictions"]
    assert only["maps"] is None
    assert only["seen"] is not None


def test_all_images_that_cannot_be_used_are_named(client):
    answer = ask(client, ("a", png()), ("b", b"no image"), ("c", png()[:-30]), ("d", b""))
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["kind"] == "image"
    assert [each["index"] for each in error["images"]] == [1, 2, 3]
    assert error["images"][0]["reason"] == "b is not an image that can be read"
    assert error["images"][2]["reason"] == "d is empty"


def test_a_drawing_is_refused_with_the_formats_that_are_read(client):
    drawing = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>'
    answer = ask(client, ("logo.svg", drawing))
    assert answer.status_code == 422
    (only,) = answer.json()["error"]["images"]
    assert only["reason"] == (
        "logo.svg is a drawing in SVG; the images that are read are "
        "AVIF, BMP, GIF, JPEG, PNG, TIFF and WEBP"
    )


def test_what_is_served_is_described(client):
    about = client.get("/v1/model").json()
    assert about["name"] == "colours"
    assert about["classes"] == list(CLASSES)
    assert about["input"] == {
        **{"channels": 3, "height": SIZE, "width": SIZE},
        "resize": "stretch",
    }
    assert about["metrics"] == {"test_top1": 0.987}
    assert about["maps"] is True


def test_examples_are_the_golden_samples(client):
    examples = client.get("/v1/model").json()["examples"]
    assert [each["label"] for each in examples] == ["red", "blue"]
    for each in examples:
        answer = client.get(f"/v1/examples/{each['number']}")
        assert answer.headers["content-type"] == "image/png"
        assert labels(ask(client, ("a", answer.content))) == [each["label"]]
    for wrong in ("2", "-1", "x", "99999999999999999999"):
        assert client.get(f"/v1/examples/{wrong}").status_code in (404, 422)


def test_health(client):
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v1/model", "/v1/examples/0"])
def test_head_is_get_without_the_body(client, path):
    whole, head = client.get(path), client.head(path)
    assert head.status_code == 200
    assert head.content == b""
    drop = lambda headers: {k: v for k, v in headers.items() if k != "date"}  # noqa: E731
    assert drop(head.headers) == drop(whole.headers)
    assert int(head.headers["content-length"]) == len(whole.content)
    assert client.get(path).content == whole.content  # the connection is in order


def test_head_is_refused_where_get_is_and_counted_by_its_route(client):
    assert client.head("/v1/predict").status_code == 405
    assert client.head("/nowhere").status_code == 404
    counts = client.get("/metrics").text
    assert 'convsmith_requests_total{path="/v1/predict",status="405"}' in counts


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/v1/predict", 405, "method_not_allowed"),
        ("DELETE", "/v1/model", 405, "method_not_allowed"),
    ],
)
def test_other_mistakes_have_the_same_form(client, method, path, status, kind):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["kind"] == kind


def test_classes_whose_names_cannot_be_sent_do_no_harm(tmp_path):
    path = make_bundle(tmp_path / "odd.convsmith", classes=("\ud800", "<b>", "x" * 1000))
    with serving(predictor(path)) as url, httpx.Client(base_url=url) as client:
        assert client.get("/v1/model").json()["classes"][:2] == ["?", "<b>"]
        assert labels(ask(client, ("a", png()))) == ["?"]


def test_too_many_images_at_once_are_refused_until_there_is_room(bundle):
    slow = Slow(predictor(bundle), 0.3)
    with (
        serving(slow, Limits(queue=4), batch=2) as url,
        httpx.Client(base_url=url) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = list(pool.map(lambda n: ask(client, ("a", png())), range(8)))
        statuses = [each.status_code for each in answers]
        assert set(statuses) == {200, 429}
        refused = answers[statuses.index(429)]
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["kind"] == "busy"
        assert labels(ask(client, ("a", png()))) == ["red"]
        assert ask(client, *[("a", png())] * 5).status_code == 429


def test_requests_that_come_together_are_looked_at_together(bundle):
    slow = Slow(predictor(bundle), 0.1)
    colours = [CLASSES[n % 3] for n in range(32)]
    with (
        serving(slow, batch=8) as url,
        httpx.Client(base_url=url) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        found = pool.map(lambda colour: labels(ask(client, ("a", png(colour)))), colours)
        assert [each for (each,) in found] == colours
    assert sum(slow.batches) == 32
    assert len(slow.batches) <= 12
    assert max(slow.batches) <= 8


def test_an_answer_that_takes_too_long_is_given_up(bundle):
    slow = Slow(predictor(bundle), 1.0)
    with serving(slow, Limits(deadline=0.2)) as url, httpx.Client(base_url=url) as client:
        began = time.monotonic()
        answer = ask(client, ("a", png()))
        assert time.monotonic() - began < 0.9
        assert answer.status_code == 503
        assert answer.json()["error"]["kind"] == "deadline"


def test_stopping_answers_what_was_accepted(bundle):
    slow = Slow(predictor(bundle), 0.5)
    found = []
    with contextlib.ExitStack() as after:
        with serving(slow, batch=2) as url:
            client = after.enter_context(httpx.Client(base_url=url))
            threads = [
                threading.Thread(target=lambda: found.append(ask(client, ("a", png("blue")))))
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            while not slow.batches:
                time.sleep(0.01)
        for thread in threads:
            thread.join()
    assert [labels(each) for each in found] == [["blue"]] * 4


def test_a_failing_network_is_an_error_and_not_the_end(bundle):
    class Broken(Slow):
        def run(self, pixels):
            raise RuntimeError("secret")

    with serving(Broken(predictor(bundle), 0)) as url, httpx.Client(base_url=url) as client:
        answer = ask(client, ("a", png()))
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert client.get("/readyz").status_code == 200
        assert 'status="500"} 1' in client.get("/metrics").text


def test_the_document_names_every_route_and_asks_nobody(client):
    answer = client.get("/openapi.json")
    paths = answer.json()["paths"]
    assert set(paths) == {
        *("/healthz", "/readyz", "/metrics"),
        *("/v1/model", "/v1/predict", "/v1/examples/{number}"),
    }
    assert set(paths["/v1/predict"]["post"]["requestBody"]["content"]) == {
        *("multipart/form-data", "application/json", "application/octet-stream"),
    }
    assert "http" not in answer.text.replace("convsmith_runtime__http", "")
