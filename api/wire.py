"""A websocket without a task, a queue and a coroutine for every frame: what comes is handed over, what goes is written.

`Wire` is uvicorn's own protocol; the handshake, pings, fragments, errors and the end of a connection are its business.
Once somebody listens, text frames in one piece are taken apart here and handed over; `write` puts frames on the socket
that may have been made once for many connections.
"""

from __future__ import annotations

from struct import pack
from typing import Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import apply_mask  # type: ignore[attr-defined]  # the fast one, where it is installed

EXTENSION = "wattbook.wire"
"""Where the scope of a connection has its wire."""
_TEXT = 0x81
"""First byte of a text frame in one piece."""
_LEAST = 6
"""Bytes of the shortest frame of a client."""


def frame(text: bytes) -> bytes:
    """A whole text frame of a server, RFC 6455 section 5.2."""
    size = len(text)
    if size < 126:
        return pack("!BB", _TEXT, size) + text
    if size < 65_536:
        return pack("!BBH", _TEXT, 126, size) + text
    return pack("!BBQ", _TEXT, 127, size) + text


class Listener(Protocol):
    """Who is told what a wire brings; must not block."""

    def heard(self, text: bytes) -> None:
        """Take a frame."""

    def flowing(self) -> None:
        """The client reads again after it had not."""

    def gone(self) -> None:
        """The connection is over."""


class Wire(WebSocketsSansIOProtocol):
    """One connection."""

    _listener: Listener | None = None
    _quick = True
    """Whether frames are told apart here, each that is no plain text going to uvicorn alone; else uvicorn has all."""
    _open = False
    """Whether a message in fragments has begun."""
    _rest = b""
    """The beginning of a frame."""

    async def run_asgi(self) -> None:
        self.scope["extensions"][EXTENSION] = {"wire": self}
        await super().run_asgi()

    def attach(self, listener: Listener) -> None:
        """Hand over what comes from now on, and what has come already."""
        self._listener = listener
        if self.transport.is_closing():
            listener.gone()
        self._hand_over(listener)

    @property
    def clogged(self) -> bool:
        """Whether the client does not read what was written."""
        return not self.writable.is_set()

    def write(self, frames: bytes) -> None:
        """Send frames, made by `frame`, to a connection that is open."""
        self.transport.write(frames)

    def hold(self) -> None:
        """Read nothing more for now. Frames that were read already still come."""
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def release(self) -> None:
        """Read on."""
        if self.read_paused and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    # -- called by uvicorn and by the transport ----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._listener is None:
            self._quick = not self.handshake_initiated  # who does not wait for our answer is not worth the trouble
        if self._listener is None or not self._quick:
            super().data_received(data)
            return
        data = self._rest + data if self._rest else data
        place, size = 0, len(data)
        while size - place >= _LEAST and not self.transport.is_closing():
            begin, end = _payload(data, place)
            if not begin or end - begin > self.config.ws_max_size:
                self._quick = False
                super().data_received(data[place:])
                return
            if end > size:
                break
            plain = data[place] == _TEXT and not self._open and not self.close_sent
            text = apply_mask(data[begin:end], data[begin - 4 : begin]) if plain else b""
            if plain and _unicode(text):
                self._listener.heard(text)
            else:
                if data[place] & 0x0F < 8:  # control frames may come between fragments
                    self._open = not data[place] & 0x80
                super().data_received(data[place:end])
            place = end
        self._rest = data[place:]

    def send_receive_event_to_app(self) -> None:
        super().send_receive_event_to_app()
        if self._listener is not None:
            self._hand_over(self._listener)

    def _hand_over(self, listener: Listener) -> None:
        """What uvicorn keeps for the application."""
        self.release()
        while not self.queue.empty():
            message = self.queue.get_nowait()
            if message["type"] == "websocket.receive":
                text, data = message.get("text"), message.get("bytes")
                listener.heard(text.encode() if text is not None else data or b"")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._listener is not None:
            self._listener.flowing()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._listener is not None:
            self._listener.gone()


def _payload(data: bytes, place: int) -> tuple[int, int]:
    """Begin and end of the payload of the frame at `place`, of which at least six bytes are there; (0, 0) where it is
    not of a client, or has 64 KiB or more.
    """
    length = data[place + 1] - 0x80
    if 0 <= length < 126:
        return place + 6, place + 6 + length
    if length == 126:
        return place + 8, place + 8 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0, 0


def _unicode(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
