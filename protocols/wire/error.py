"""The one error that bytes from outside can cause."""


class WireError(ValueError):
    """Bytes that are no frame or no message: an error of the peer, to be counted and dropped.

    `reason` is one word, fit for a counter's name: short, long, version, length, protocol, message, bound
    or value.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
