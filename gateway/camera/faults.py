"""What goes wrong with a camera, as a sentence. No sentence ever holds a password."""

from __future__ import annotations

from gateway.errors import GatewayError


class CameraFault(GatewayError):
    """There is no picture; its text says why, for whoever looks after the camera."""

    retry = "soon"
    who = "operator"
