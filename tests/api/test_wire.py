"""Frames of a websocket: made once for many, and taken in whatever pieces they come."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from api.wire import frame
from tests.api.live_kit import running


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


def test_a_text_frame_that_is_no_text_ends_the_connection_with_its_code(tmp_path: Path) -> None:
    with running(tmp_path) as live, connect(live.stream, compression=None) as socket:
        socket.send('{"op":"auth"}')
        assert json.loads(socket.recv(10))["op"] == "welcome"
        socket.send(b'{"op":"ping","id":"\xff"}', text=True)
        with pytest.raises(ConnectionClosed) as ended:
            deque(socket, maxlen=0)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1007
