"""What reaches the server before any route does: malformed, cut, slow and pipelined requests."""

from __future__ import annotations

import gzip
import socket
import threading

import pytest

from tests.helpers.pictures import fire_jpeg
from tests.helpers.raw_http import raw_call

_MALFORMED = {
    "no_method": b"\r\nGET\r\n\r\n",
    "no_version": b"GET /nowhere\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "lower_case_method": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "header_without_colon": b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
    "header_with_space": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded_header": b"GET /nowhere HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
    "nul_in_header": b"GET / HTTP/1.1\r\nX-A: a\x00b\r\n\r\n",
    "bare_line_feed": b"GET / HTTP/1.1\r\nX-A: a\nX-B: b\r\n\r\n",
    "huge_headers": b"GET / HTTP/1.1\r\nX-A: " + b"a" * 400_000 + b"\r\n\r\n",
    "two_lengths": b"POST /predict HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length_no_number": b"POST /predict HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
    "length_negative": b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "length_signed": b"POST /predict HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
    "body_too_large": b"POST /predict HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
    "unknown_encoding": b"POST /predict HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    "bad_chunk_size": b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "bad_chunk_end": b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX\r\n0\r\n\r\n",
    "both_lengths": b"POST /predict HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no_host": b"POST /predict HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "odd_host": b"POST /predict HTTP/1.1\r\nHost: a b<c>\r\nContent-Length: 0\r\n\r\n",
    "absolute_target": b"GET http://evil.example/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "not_utf8_path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "future_version": b"GET /nowhere HTTP/9.9\r\nHost: x\r\n\r\n",
}


def _post(path: str, body: bytes, *headers: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: image/jpeg", *headers]
    return (
        ("\r\n".join(head) + "\r\n").encode()
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


@pytest.mark.parametrize("name", _MALFORMED)
def test_malformed_http_gets_the_envelope_and_a_status_of_the_caller_s_fault(pair, name):
    answer = raw_call(pair.edge.port, _MALFORMED[name], hang_up=False)
    assert answer.headers["content-type"] == "application/json"
    assert {"req_id", "err_no", "err_msg", "result", "type", "status"} <= answer.json().keys()
    assert answer.json()["status"] == answer.status
    assert answer.json()["req_id"] == answer.headers["x-request-id"]
    assert 400 <= answer.status < 500 or answer.status == 501
    assert answer.json()["err_no"] != 9002


def test_a_body_with_two_kinds_of_length_is_refused_and_nothing_after_it_is_read(pair):
    hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % (5 + len(hidden))
    chunked = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    answer = raw_call(pair.edge.port, head + chunked + hidden, hang_up=False)
    assert (answer.status, answer.json()["err_no"]) == (400, 400)
    assert "exclude each other" in answer.json()["detail"]


def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(pair):
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    answer = raw_call(pair.edge.port, head, hang_up=False)
    assert (answer.status, answer.json()["err_no"]) == (413, 413)


def test_a_body_in_chunks_is_read(pair):
    jpeg = fire_jpeg()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (jpeg[:100], jpeg[100:]))
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
    request = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    assert raw_call(pair.edge.port, request, hang_up=False).json()["err_no"] == 0


def test_a_body_that_comes_in_pieces_is_put_together(pair):
    request = _post("/predict", fire_jpeg(), "Connection: close")
    with socket.create_connection(("127.0.0.1", pair.edge.port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request), 97):
            sock.sendall(request[start : start + 97])
        received = b""
        while chunk := sock.recv(65_536):
            received += chunk
    assert b'"err_no": 0' in received


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("edge", "/joint_predict"),
        ("edge", "/predict"),
        ("cloud", "/infer"),
        ("cloud", "/infer/async"),
    ],
)
def test_a_compressed_body_is_refused_by_its_header(pair, service, path):
    packed = gzip.compress(fire_jpeg())
    answer = getattr(pair, service).show(path, packed, Content_Encoding="gzip")
    assert (answer.status_code, answer.json()["err_no"]) == (415, 1002)
    assert "gzip" in answer.json()["detail"]


def test_requests_on_one_connection_are_answered_in_order(pair):
    requests = [_post("/predict", fire_jpeg(), f"X-Request-ID: r{n}") for n in range(5)]
    last = _post("/predict", b"no picture", "X-Request-ID: last", "Connection: close")
    with socket.create_connection(("127.0.0.1", pair.edge.port), timeout=10) as sock:
        sock.sendall(b"".join(requests) + last)
        received = b""
        while chunk := sock.recv(65_536):
            received += chunk
    ids = [f"r{n}" for n in range(5)] + ["last"]
    places = [received.find(f"X-Request-Id: {i}".encode()) for i in ids]
    assert -1 not in places
    assert places == sorted(places)


def test_a_connection_is_kept_for_the_next_request(pair):
    with socket.create_connection(("127.0.0.1", pair.edge.port), timeout=10) as sock:
        for _ in range(3):
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_client_that_asks_first_may_send_its_body(pair):
    jpeg = fire_jpeg()
    request = _post("/predict", jpeg, "Expect: 100-continue", "Connection: close")
    head, body = request[: -len(jpeg)], request[-len(jpeg) :]
    with socket.create_connection(("127.0.0.1", pair.edge.port), timeout=10) as sock:
        sock.sendall(head)
        assert sock.recv(65_536).startswith(b"HTTP/1.1 100")
        sock.sendall(body)
        received = b""
        while chunk := sock.recv(65_536):
            received += chunk
    assert b'"err_no": 0' in received


def test_a_head_request_gets_a_head_and_no_body(pair):
    with socket.create_connection(("127.0.0.1", pair.edge.port), timeout=10) as sock:
        sock.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while chunk := sock.recv(65_536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"\r\n\r\n")


def test_half_sent_requests_hold_nobody_up(pair):
    head = _post("/predict", b"x" * 100_000)[:200]
    slow = [socket.create_connection(("127.0.0.1", pair.edge.port)) for _ in range(60)]
    try:
        for sock in slow:
            sock.sendall(head)
        assert pair.edge.show("/predict", fire_jpeg()).json()["err_no"] == 0
    finally:
        for sock in slow:
            sock.close()


def test_a_client_that_hangs_up_early_harms_nobody(pair):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", pair.edge.port)) as sock:
            sock.sendall(_post("/predict", fire_jpeg()))
    assert pair.edge.show("/predict", fire_jpeg()).json()["err_no"] == 0


def test_many_callers_at_once_each_get_their_own_answer(pair):
    seen: dict[str, str] = {}

    def ask(number: int) -> None:
        request = _post("/predict", fire_jpeg(), f"X-Request-ID: c{number}")
        seen[f"c{number}"] = raw_call(pair.edge.port, request, hang_up=False).json()["req_id"]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {f"c{n}": f"c{n}" for n in range(40)}
