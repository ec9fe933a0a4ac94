"""Bodies: what is an image in them, what is not, and how much they may hold."""

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.http.builders import png

from convsmith_runtime.http.limits import Limits, Refused
from convsmith_runtime.http.uploads import Bodies, uploads_in

FORM = "multipart/form-data; boundary=cut"
LIMITS = Limits(images=4)


def form(*parts):
    """A form's body; a part is (headers, content)."""
    body = b"".join(b"--cut\r\n" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    return body + b"--cut--\r\n"


def file(name, data, field="image"):
    return f'Content-Disposition: form-data; name="{field}"; filename="{name}"'.encode(), data


def as_json(*images):
    texts = [each if isinstance(each, str) else base64.b64encode(each).decode() for each in images]
    return json.dumps({"images": texts}).encode()


def refused(body, kind, limits=LIMITS):
    with pytest.raises(Refused) as error:
        uploads_in(body, kind, limits)
    return error.value


def test_a_form_gives_its_files_in_order_whatever_the_fields_are_called():
    note = (b'Content-Disposition: form-data; name="note"', b"hello")
    body = form(file("a.png", b"one"), note, file("ü.png", b"two", "other"), file("", b"three"))
    found = uploads_in(body, FORM, LIMITS)
    assert [(each.name, each.content) for each in found] == [
        ("a.png", b"one"),
        ("ü.png", b"two"),
        ("image 4", b"three"),
    ]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"content-disposition: form-data; name=a; filename=b.png", "b.png"),
        (b'X: y\r\nContent-Disposition: form-data;filename="b c.png";name="a"', "b c.png"),
        (b"Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''b.png", "image 1"),
        (b'Content-Disposition: form-data; filename="' + b"x" * 500 + b'"', "x" * 120),
        (b'Content-Disposition: form-data; filename="\xff\x00<b>"', "\ufffd\0<b>"),
    ],
)
@pytest.mark.parametrize("kind", [FORM, 'multipart/form-data; charset=x; BOUNDARY="cut"'])
def test_files_are_known_by_their_header(header, name, kind):
    content = bytes(range(256)) + b"\r\n--cu\r\n\r\n"
    (only,) = uploads_in(form((header, content)), kind, LIMITS)
    assert (only.name, only.content) == (name, content)


def test_json_gives_images_in_base64_and_as_data_addresses():
    data = "data:image/png;base64," + base64.b64encode(b"two").decode()
    found = uploads_in(as_json(b"one", data), "application/json; charset=utf-8", LIMITS)
    assert [(each.name, each.content) for each in found] == [
        ("image 1", b"one"),
        ("image 2", b"two"),
    ]


@pytest.mark.parametrize("kind", ["image/png", "image/x-whatever", "application/octet-stream"])
def test_a_body_may_be_the_file(kind):
    (only,) = uploads_in(b"one", kind, LIMITS)
    assert only.content == b"one"


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"x", "", 415, "must be multipart/form-data"),
        (b"x", "text/plain", 415, "must be multipart/form-data"),
        (b"x", "application/x-www-form-urlencoded", 415, "must be"),
        (b"", "image/png", 400, "there is no image"),
        (b"x", "multipart/form-data", 400, "no boundary"),
        (b"x", FORM, 400, "has no end"),
        (b"", FORM, 400, "has no end"),
        (form(file("a", b"x"))[:-4], FORM, 400, "has no end"),
        (b"--cut\r\nx\r\n--cut--", FORM, 400, "no proper headers"),
        (b"--cut--", FORM, 400, "no file in the form"),
        (form((b'Content-Disposition: form-data; name="a"', b"x")), FORM, 400, "no file"),
        (form((b"X: y", b"x")), FORM, 400, "no file"),
        (form(*[file("a", b"x")] * 5), FORM, 413, "at most 4 images"),
        (form(*[(b'Content-Disposition: form-data; name="a"', b"x")] * 50), FORM, 413, "at most 4"),
        (b"{", "application/json", 400, "not valid JSON"),
        (b"[" * 10_000, "application/json", 413, "too many parts"),
        (b"\xff", "application/json", 400, "not valid JSON"),
        (b"9" * 5000, "application/json", 400, "not valid JSON"),
        (b"[1]", "application/json", 400, "the body must be"),
        (b'{"images": []}', "application/json", 400, "the body must be"),
        (b'{"images": [1]}', "application/json", 400, "image 1 must be text in base64"),
        (b'{"images": ["\xe2\x82\xac"]}', "application/json", 400, "image 1 is not valid base64"),
        (b'{"images": ["abc"]}', "application/json", 400, "image 1 is not valid base64"),
        (b'{"images": ["data:image/png,x"]}', "application/json", 400, "without ;base64"),
        (as_json("https://example.com/cat.png"), "application/json", 400, "none is fetched"),
        (as_json("file:///etc/passwd"), "application/json", 400, "none is fetched"),
        (as_json(*[b"x"] * 5), "application/json", 413, "at most 4 images"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(body, kind, status, said):
    error = refused(body, kind)
    assert error.status == status
    assert said in error.message


def test_json_of_very_many_values_is_refused_before_it_is_read():
    body = b'{"images": [' + b"[]," * 1_000_000 + b"[]]}"
    assert refused(body, "application/json").status == 413


def status_of(body, kind):
    try:
        return 200 if uploads_in(body, kind, LIMITS) else 500
    except Refused as error:
        return error.status


@given(
    st.binary(max_size=200),
    st.one_of(st.text(max_size=40), st.sampled_from([FORM, "application/json", "image/png"])),
)
def test_any_body_gives_images_or_a_refusal(body, kind):
    assert status_of(body, kind) in (200, 400, 413, 415)


@given(st.data())
def test_a_damaged_form_gives_images_or_a_refusal(data):
    body = bytearray(form(file("a.png", png()), file("b.png", b"\r\n--cu")))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    assert status_of(bytes(body), FORM) in (200, 400, 413)


class Coming:
    """A request whose body comes in pieces."""

    def __init__(self, *chunks, length=None, pause=0.0):
        self.headers = {} if length is None else {"content-length": str(length)}
        self._chunks, self._pause = chunks, pause

    async def stream(self):
        for chunk in self._chunks:
            await asyncio.sleep(self._pause)
            yield chunk


async def read(bodies, request):
    async with bodies.reading(request) as body:
        return body


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Coming(b"", length=101), 413),
        (Coming(b"", length="9" * 30), 413),
        (Coming(b"x" * 60, b"x" * 60), 413),
        (Coming(b"x", b"x", pause=0.2), 408),
    ],
)
def test_a_body_that_is_too_long_or_too_slow_is_refused(request_, status):
    bodies = Bodies(Limits(body_bytes=100, upload_seconds=0.1))
    with pytest.raises(Refused) as error:
        asyncio.run(read(bodies, request_))
    assert error.value.status == status
    assert bodies._held == 0


def test_all_bodies_together_have_a_limit():
    bodies = Bodies(Limits(body_bytes=100, held_bytes=150))

    async def both():
        async with bodies.reading(Coming(b"x" * 90)) as first:
            assert len(first) == 90
            with pytest.raises(Refused) as error:
                await read(bodies, Coming(b"x" * 90))
            assert error.value.status == 429
        assert len(await read(bodies, Coming(b"x" * 90))) == 90

    asyncio.run(both())
    assert bodies._held == 0
