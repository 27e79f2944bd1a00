"""Frames of a websocket: made once for many, and taken in whatever pieces they come."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from api.wire import frame
from tests.api.live_kit import running

TEXT = Frame(Opcode.TEXT, b"{}").serialize(mask=True)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_a_frame_is_that_of_the_library(size: int) -> None:
    text = b"x" * size
    assert frame(text) == Frame(Opcode.TEXT, text).serialize(mask=False)


def test_fragments_and_binary_frames_are_understood_and_no_frame_is_lost_behind_many(tmp_path: Path) -> None:
    with running(tmp_path) as live, connect(live.stream, compression=None) as socket:
        socket.send(iter(['{"op":"au', 'th"}']))
        assert json.loads(socket.recv(10))["op"] == "welcome"
        socket.send(b'{"op":"ping","id":"binary"}')
        assert json.loads(socket.recv(10)) == {"op": "done", "id": "binary"}
        heard: list[str] = []
        for number in range(500):
            socket.send(json.dumps({"op": "ping", "id": str(number)}))
        while len(heard) < 500:
            told = json.loads(socket.recv(10))
            heard += [one["id"] for one in (told if isinstance(told, list) else [told]) if one["op"] == "done"]
        assert heard == [str(number) for number in range(500)]


def test_frames_are_the_same_in_whatever_pieces_they_come(tmp_path: Path) -> None:
    """Text, fragments with a ping between, pongs, lengths of 7 and 16 bits, cut anywhere."""
    rng = np.random.default_rng(1)
    with running(tmp_path) as live:
        for _ in range(20):
            with connect(live.stream, compression=None) as client:
                client.send('{"op":"auth"}')
                assert json.loads(client.recv(10))["op"] == "welcome"
                data, names = b"", list[str]()
                for number in range(60):
                    name = f"{number}{'x' * int(rng.integers(0, 300))}"
                    text = json.dumps({"op": "ping", "id": name}).encode()
                    names.append(name)
                    half = len(text) // 2
                    cut = [Frame(Opcode.TEXT, text[:half], fin=False), Frame(Opcode.CONT, text[half:])]
                    frames = cut if rng.random() < 0.3 else [Frame(Opcode.TEXT, text)]
                    if rng.random() < 0.5:
                        frames.insert(1, Frame(Opcode.PING, b"there?"))
                    data += b"".join(frame.serialize(mask=True) for frame in frames)
                while data:
                    size = int(rng.integers(1, 400))
                    client.socket.sendall(data[:size])
                    data = data[size:]
                heard: list[str] = []
                while len(heard) < len(names):
                    told = json.loads(client.recv(10))
                    heard += [one["id"] for one in (told if isinstance(told, list) else [told]) if one["op"] == "done"]
                assert heard == names


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (frame(b"{}"), 1002),
        (b"\xc1" + TEXT[1:], 1002),
        (Frame(Opcode.CONT, b"{}").serialize(mask=True), 1002),
        (
            Frame(Opcode.TEXT, b"{", fin=False).serialize(mask=True) + Frame(Opcode.TEXT, b"}").serialize(mask=True),
            1002,
        ),
        (Frame(Opcode.TEXT, b"x" * 200_000).serialize(mask=True), 1009),
    ],
    ids=["not masked", "a bit that means nothing", "an end without a beginning", "a text within a text", "too large"],
)
def test_what_is_no_frame_ends_the_connection_with_its_code(tmp_path: Path, frames: bytes, code: int) -> None:
    with running(tmp_path) as live, connect(live.stream, compression=None) as client:
        client.send('{"op":"auth"}')
        assert json.loads(client.recv(10))["op"] == "welcome"
        client.socket.sendall(frames)
        with pytest.raises(ConnectionClosed) as ended:
            deque(client, maxlen=0)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == code


def test_a_text_frame_that_is_no_text_ends_the_connection_with_its_code(tmp_path: Path) -> None:
    with running(tmp_path) as live, connect(live.stream, compression=None) as socket:
        socket.send('{"op":"auth"}')
        assert json.loads(socket.recv(10))["op"] == "welcome"
        socket.send(b'{"op":"ping","id":"\xff"}', text=True)
        with pytest.raises(ConnectionClosed) as ended:
            deque(socket, maxlen=0)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1007
